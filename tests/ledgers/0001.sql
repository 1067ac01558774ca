BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE attempts (
	id INTEGER NOT NULL, 
	batch_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	started_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	outcome VARCHAR(20), 
	http_status INTEGER, 
	detail TEXT, 
	CONSTRAINT pk_attempts PRIMARY KEY (id), 
	CONSTRAINT fk_attempts_batch_id_batches FOREIGN KEY(batch_id) REFERENCES batches (id), 
	CONSTRAINT uq_attempts_batch_id_number UNIQUE (batch_id, number)
);
INSERT INTO "attempts" VALUES(1,1,1,'2026-01-05 23:56:30.364621','2026-01-05 23:56:30.727609','sent',202,NULL);
INSERT INTO "attempts" VALUES(2,2,1,'2026-01-05 23:56:30.379181','2026-01-05 23:56:30.743945','sent',202,NULL);
INSERT INTO "attempts" VALUES(3,3,1,'2026-01-05 23:56:30.739256',NULL,NULL,NULL,NULL);
CREATE TABLE batches (
	id INTEGER NOT NULL, 
	job_id VARCHAR(16) NOT NULL, 
	run_id INTEGER NOT NULL, 
	parent_id INTEGER, 
	transaction_id TEXT NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	file_count INTEGER NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	CONSTRAINT pk_batches PRIMARY KEY (id), 
	CONSTRAINT fk_batches_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id), 
	CONSTRAINT fk_batches_parent_id_batches FOREIGN KEY(parent_id) REFERENCES batches (id), 
	CONSTRAINT fk_batches_run_id_runs FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "batches" VALUES(1,'yysnb4',1,NULL,'3610','sent',3,231,'2026-01-05 23:56:30.359261','2026-01-05 23:56:30.723945');
INSERT INTO "batches" VALUES(2,'yysnb4',1,NULL,'3610','sent',3,231,'2026-01-05 23:56:30.377281','2026-01-05 23:56:30.726951');
INSERT INTO "batches" VALUES(3,'yysnb4',1,NULL,'3610','in_flight',3,231,'2026-01-05 23:56:30.736816',NULL);
CREATE TABLE events (
	id INTEGER NOT NULL, 
	job_id VARCHAR(16) NOT NULL, 
	run_id INTEGER, 
	at DATETIME NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	facts JSON NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (id), 
	CONSTRAINT fk_events_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "events" VALUES(1,'yysnb4',NULL,'2026-01-05 23:56:30.279201','job_created','{"name": "job", "base_url": "http://127.0.0.1:8765"}');
INSERT INTO "events" VALUES(2,'yysnb4',1,'2026-01-05 23:56:30.292799','run_started','{"host": "host", "pid": 23371, "version": "0.1.0"}');
INSERT INTO "events" VALUES(3,'yysnb4',1,'2026-01-05 23:56:30.316562','scan_finished','{"left_out": {}}');
INSERT INTO "events" VALUES(4,'yysnb4',1,'2026-01-05 23:56:30.319793','create_intended','{}');
INSERT INTO "events" VALUES(5,'yysnb4',1,'2026-01-05 23:56:30.329272','dataset_created','{"dataset_id": "12040116-c422-45a9-ab9c-b4f024bf78fd"}');
INSERT INTO "events" VALUES(6,'yysnb4',1,'2026-01-05 23:56:30.333325','open_intended','{}');
INSERT INTO "events" VALUES(7,'yysnb4',1,'2026-01-05 23:56:30.343745','transaction_opened','{"transaction_id": "3610"}');
INSERT INTO "events" VALUES(8,'yysnb4',1,'2026-01-05 23:56:30.733338','batch_sent','{"batch": 1, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231}');
INSERT INTO "events" VALUES(9,'yysnb4',1,'2026-01-05 23:56:30.746032','batch_sent','{"batch": 2, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231}');
CREATE TABLE files (
	id INTEGER NOT NULL, 
	job_id VARCHAR(16) NOT NULL, 
	path TEXT NOT NULL, 
	sent_as TEXT NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	mtime_ns BIGINT NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	batch_id INTEGER, 
	attempts INTEGER DEFAULT '0' NOT NULL, 
	unknown_attempts INTEGER DEFAULT '0' NOT NULL, 
	changes INTEGER DEFAULT '0' NOT NULL, 
	sha256 VARCHAR(64), 
	sent_at DATETIME, 
	reason TEXT, 
	CONSTRAINT pk_files PRIMARY KEY (id), 
	CONSTRAINT fk_files_batch_id_batches FOREIGN KEY(batch_id) REFERENCES batches (id), 
	CONSTRAINT fk_files_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id), 
	CONSTRAINT uq_files_job_id_path UNIQUE (job_id, path), 
	CONSTRAINT uq_files_job_id_sent_as UNIQUE (job_id, sent_as)
);
INSERT INTO "files" VALUES(1,'yysnb4','p0000.png','p0000.png',77,1795478189079886334,'sent',1,1,0,0,'3f29b4b6378deda13bf05af2f9635df853e91275d0d61cfee10b3cbc866a5d57','2026-01-05 23:56:30.723945',NULL);
INSERT INTO "files" VALUES(2,'yysnb4','p0001.png','p0001.png',77,1795478189083653388,'sent',1,1,0,0,'9e1b67e850a601efbb58e75e34a3507b3e150c9df589feb86196d79f4c5d9b41','2026-01-05 23:56:30.723945',NULL);
INSERT INTO "files" VALUES(3,'yysnb4','p0002.png','p0002.png',77,1795478189084783077,'sent',1,1,0,0,'b703429886f8a9cbbd990aa872df150771e8bdf59d602a6b65c4036b5637f5bf','2026-01-05 23:56:30.723945',NULL);
INSERT INTO "files" VALUES(4,'yysnb4','p0003.png','p0003.png',77,1795478189085073349,'sent',2,1,0,0,'26a6b2a4514f036a04a1756f06f61723eb94f0b22310947b755e95693c294e29','2026-01-05 23:56:30.726951',NULL);
INSERT INTO "files" VALUES(5,'yysnb4','p0004.png','p0004.png',77,1795478189085355435,'sent',2,1,0,0,'b4f3124da4ad35e2601fe3406513d6d1f54cc61212fa9c283f2f7c2df618118f','2026-01-05 23:56:30.726951',NULL);
INSERT INTO "files" VALUES(6,'yysnb4','p0005.png','p0005.png',77,1795478189085626832,'sent',2,1,0,0,'8d6e1e6bde25639e2d22b1f099724a8329a9a18cac1a5f7757187fabb74d1571','2026-01-05 23:56:30.726951',NULL);
INSERT INTO "files" VALUES(7,'yysnb4','p0006.png','p0006.png',77,1795478189085900112,'in_flight',3,1,0,0,NULL,NULL,NULL);
INSERT INTO "files" VALUES(8,'yysnb4','p0007.png','p0007.png',77,1795478189086274431,'in_flight',3,1,0,0,NULL,NULL,NULL);
INSERT INTO "files" VALUES(9,'yysnb4','p0008.png','p0008.png',77,1795478189086556317,'in_flight',3,1,0,0,NULL,NULL,NULL);
INSERT INTO "files" VALUES(10,'yysnb4','p0009.png','p0009.png',77,1795478189086804351,'pending',NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "files" VALUES(11,'yysnb4','p0010.png','p0010.png',77,1795478189087039179,'pending',NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "files" VALUES(12,'yysnb4','p0011.png','p0011.png',77,1795478189087280019,'pending',NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "files" VALUES(13,'yysnb4','p0012.png','p0012.png',77,1795478189087525437,'pending',NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "files" VALUES(14,'yysnb4','p0013.png','p0013.png',77,1795478189087762580,'pending',NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "files" VALUES(15,'yysnb4','p0014.png','p0014.png',77,1795478189088017295,'pending',NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "files" VALUES(16,'yysnb4','p0015.png','p0015.png',77,1795478189088262904,'pending',NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "files" VALUES(17,'yysnb4','p0016.png','p0016.png',77,1795478189088502170,'pending',NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "files" VALUES(18,'yysnb4','p0017.png','p0017.png',77,1795478189088729294,'pending',NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "files" VALUES(19,'yysnb4','p0018.png','p0018.png',77,1795478189088962069,'pending',NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "files" VALUES(20,'yysnb4','p0019.png','p0019.png',77,1795478189089197659,'pending',NULL,0,0,0,NULL,NULL,NULL);
CREATE TABLE jobs (
	id VARCHAR(16) NOT NULL, 
	source TEXT NOT NULL, 
	name TEXT NOT NULL, 
	base_url TEXT NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	settings JSON NOT NULL, 
	dataset_id TEXT, 
	transaction_id TEXT, 
	run_id INTEGER, 
	scan_run_id INTEGER, 
	left_out JSON NOT NULL, 
	too_large_bytes BIGINT, 
	status TEXT, 
	progress FLOAT, 
	status_before TEXT, 
	message TEXT, 
	created_at DATETIME NOT NULL, 
	triggered_at DATETIME, 
	finished_at DATETIME, 
	CONSTRAINT pk_jobs PRIMARY KEY (id)
);
INSERT INTO "jobs" VALUES('yysnb4','/home/user/pictures','job','http://127.0.0.1:8765','transaction_open','{"batch_size": 3, "batch_bytes": 67108864, "workers": 2, "include": [], "exclude": [], "files_from": null, "recursive": true, "on_rejected": "hold", "on_unknown": "resend", "settle_s": 0.3, "give_up_after_s": 86400.0, "max_duration_s": null, "wait": true}','12040116-c422-45a9-ab9c-b4f024bf78fd','3610',1,1,'{}',NULL,NULL,NULL,NULL,NULL,'2026-01-05 23:56:30.277602',NULL,NULL);
CREATE TABLE runs (
	id INTEGER NOT NULL, 
	job_id VARCHAR(16) NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	version TEXT NOT NULL, 
	started_at DATETIME NOT NULL, 
	heartbeat_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	exit_code INTEGER, 
	CONSTRAINT pk_runs PRIMARY KEY (id), 
	CONSTRAINT fk_runs_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "runs" VALUES(1,'yysnb4','host',23371,'0.1.0','2026-01-05 23:56:30.286578','2026-01-05 23:56:30.286578',NULL,NULL);
CREATE UNIQUE INDEX uq_jobs_unfinished ON jobs (source, name, base_url) WHERE state NOT IN ('ready', 'errored', 'cancelled');
CREATE INDEX ix_events_job_id ON events (job_id);
CREATE INDEX ix_runs_job_id ON runs (job_id);
CREATE INDEX ix_batches_in_flight ON batches (job_id) WHERE state = 'in_flight';
CREATE INDEX ix_files_pending ON files (job_id, id) WHERE state = 'pending';
CREATE INDEX ix_files_state ON files (job_id, state, size_bytes);
COMMIT;
