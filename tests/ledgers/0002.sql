BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
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
	CONSTRAINT uq_attempts_batch_id_number UNIQUE (batch_id, number), 
	CONSTRAINT fk_attempts_batch_id_batches FOREIGN KEY(batch_id) REFERENCES batches (id)
);
INSERT INTO "attempts" VALUES(1,1,1,'2026-01-06 02:44:20.710128','2026-01-06 02:44:21.063401','sent',202,NULL);
INSERT INTO "attempts" VALUES(2,2,1,'2026-01-06 02:44:20.722683','2026-01-06 02:44:21.074626','sent',202,NULL);
INSERT INTO "attempts" VALUES(3,3,1,'2026-01-06 02:44:21.070390',NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(4,4,1,'2026-01-06 02:44:21.079611',NULL,NULL,NULL,NULL);
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
	CONSTRAINT fk_batches_run_id_runs FOREIGN KEY(run_id) REFERENCES runs (id), 
	CONSTRAINT fk_batches_parent_id_batches FOREIGN KEY(parent_id) REFERENCES batches (id)
);
INSERT INTO "batches" VALUES(1,'9dxmjb',1,NULL,'3610','sent',3,231,'2026-01-06 02:44:20.707633','2026-01-06 02:44:21.065958');
INSERT INTO "batches" VALUES(2,'9dxmjb',1,NULL,'3610','sent',3,231,'2026-01-06 02:44:20.715407','2026-01-06 02:44:21.074954');
INSERT INTO "batches" VALUES(3,'9dxmjb',1,NULL,'3610','in_flight',3,231,'2026-01-06 02:44:21.069927',NULL);
INSERT INTO "batches" VALUES(4,'9dxmjb',1,NULL,'3610','in_flight',3,231,'2026-01-06 02:44:21.079293',NULL);
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
INSERT INTO "events" VALUES(1,'9dxmjb',NULL,'2026-01-06 02:44:20.624690','job_created','{"name": "job", "base_url": "http://127.0.0.1:8765"}');
INSERT INTO "events" VALUES(2,'9dxmjb',1,'2026-01-06 02:44:20.635289','run_started','{"host": "host", "pid": 32432, "version": "0.1.0"}');
INSERT INTO "events" VALUES(3,'9dxmjb',1,'2026-01-06 02:44:20.652390','scan_finished','{"left_out": {}}');
INSERT INTO "events" VALUES(4,'9dxmjb',1,'2026-01-06 02:44:20.655381','create_intended','{}');
INSERT INTO "events" VALUES(5,'9dxmjb',1,'2026-01-06 02:44:20.679754','dataset_created','{"dataset_id": "cfaed1dc-8ba0-4546-89f1-6ce9acd7b309"}');
INSERT INTO "events" VALUES(6,'9dxmjb',1,'2026-01-06 02:44:20.682798','open_intended','{}');
INSERT INTO "events" VALUES(7,'9dxmjb',1,'2026-01-06 02:44:20.690347','transaction_opened','{"transaction_id": "3610"}');
INSERT INTO "events" VALUES(8,'9dxmjb',1,'2026-01-06 02:44:21.067678','batch_sent','{"batch": 1, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231}');
INSERT INTO "events" VALUES(9,'9dxmjb',1,'2026-01-06 02:44:21.076306','batch_sent','{"batch": 2, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231}');
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
	reason TEXT, 
	CONSTRAINT pk_files PRIMARY KEY (id), 
	CONSTRAINT uq_files_job_id_path UNIQUE (job_id, path), 
	CONSTRAINT uq_files_job_id_sent_as UNIQUE (job_id, sent_as), 
	CONSTRAINT fk_files_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id), 
	CONSTRAINT fk_files_batch_id_batches FOREIGN KEY(batch_id) REFERENCES batches (id)
);
INSERT INTO "files" VALUES(1,'9dxmjb','p0000.png','p0000.png',77,1795488259849401921,'sent',1,1,0,0,'3f29b4b6378deda13bf05af2f9635df853e91275d0d61cfee10b3cbc866a5d57',NULL);
INSERT INTO "files" VALUES(2,'9dxmjb','p0001.png','p0001.png',77,1795488259849963900,'sent',1,1,0,0,'9e1b67e850a601efbb58e75e34a3507b3e150c9df589feb86196d79f4c5d9b41',NULL);
INSERT INTO "files" VALUES(3,'9dxmjb','p0002.png','p0002.png',77,1795488259850651604,'sent',1,1,0,0,'b703429886f8a9cbbd990aa872df150771e8bdf59d602a6b65c4036b5637f5bf',NULL);
INSERT INTO "files" VALUES(4,'9dxmjb','p0003.png','p0003.png',77,1795488259851054376,'sent',2,1,0,0,'26a6b2a4514f036a04a1756f06f61723eb94f0b22310947b755e95693c294e29',NULL);
INSERT INTO "files" VALUES(5,'9dxmjb','p0004.png','p0004.png',77,1795488259851448101,'sent',2,1,0,0,'b4f3124da4ad35e2601fe3406513d6d1f54cc61212fa9c283f2f7c2df618118f',NULL);
INSERT INTO "files" VALUES(6,'9dxmjb','p0005.png','p0005.png',77,1795488259851841726,'sent',2,1,0,0,'8d6e1e6bde25639e2d22b1f099724a8329a9a18cac1a5f7757187fabb74d1571',NULL);
INSERT INTO "files" VALUES(7,'9dxmjb','p0006.png','p0006.png',77,1795488259852223709,'in_flight',3,1,0,0,NULL,NULL);
INSERT INTO "files" VALUES(8,'9dxmjb','p0007.png','p0007.png',77,1795488259852657379,'in_flight',3,1,0,0,NULL,NULL);
INSERT INTO "files" VALUES(9,'9dxmjb','p0008.png','p0008.png',77,1795488259853050293,'in_flight',3,1,0,0,NULL,NULL);
INSERT INTO "files" VALUES(10,'9dxmjb','p0009.png','p0009.png',77,1795488259853432947,'in_flight',4,1,0,0,NULL,NULL);
INSERT INTO "files" VALUES(11,'9dxmjb','p0010.png','p0010.png',77,1795488259853810913,'in_flight',4,1,0,0,NULL,NULL);
INSERT INTO "files" VALUES(12,'9dxmjb','p0011.png','p0011.png',77,1795488259854483077,'in_flight',4,1,0,0,NULL,NULL);
INSERT INTO "files" VALUES(13,'9dxmjb','p0012.png','p0012.png',77,1795488259854944469,'pending',NULL,0,0,0,NULL,NULL);
INSERT INTO "files" VALUES(14,'9dxmjb','p0013.png','p0013.png',77,1795488259855391954,'pending',NULL,0,0,0,NULL,NULL);
INSERT INTO "files" VALUES(15,'9dxmjb','p0014.png','p0014.png',77,1795488259855838588,'pending',NULL,0,0,0,NULL,NULL);
INSERT INTO "files" VALUES(16,'9dxmjb','p0015.png','p0015.png',77,1795488259856297886,'pending',NULL,0,0,0,NULL,NULL);
INSERT INTO "files" VALUES(17,'9dxmjb','p0016.png','p0016.png',77,1795488259856749018,'pending',NULL,0,0,0,NULL,NULL);
INSERT INTO "files" VALUES(18,'9dxmjb','p0017.png','p0017.png',77,1795488259857191103,'pending',NULL,0,0,0,NULL,NULL);
INSERT INTO "files" VALUES(19,'9dxmjb','p0018.png','p0018.png',77,1795488259857635443,'pending',NULL,0,0,0,NULL,NULL);
INSERT INTO "files" VALUES(20,'9dxmjb','p0019.png','p0019.png',77,1795488259858090743,'pending',NULL,0,0,0,NULL,NULL);
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
INSERT INTO "jobs" VALUES('9dxmjb','/home/user/pictures','job','http://127.0.0.1:8765','transaction_open','{"batch_size": 3, "batch_bytes": 67108864, "workers": 2, "include": [], "exclude": [], "files_from": null, "recursive": true, "on_rejected": "hold", "on_unknown": "resend", "settle_s": 0.3, "give_up_after_s": 86400.0, "max_duration_s": null, "wait": true}','cfaed1dc-8ba0-4546-89f1-6ce9acd7b309','3610',1,1,'{}',NULL,NULL,NULL,NULL,NULL,'2026-01-06 02:44:20.623162',NULL,NULL);
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
INSERT INTO "runs" VALUES(1,'9dxmjb','host',32432,'0.1.0','2026-01-06 02:44:20.629965','2026-01-06 02:44:20.629965',NULL,NULL);
CREATE UNIQUE INDEX uq_jobs_unfinished ON jobs (source, name, base_url) WHERE state NOT IN ('ready', 'errored', 'cancelled');
CREATE INDEX ix_runs_job_id ON runs (job_id);
CREATE INDEX ix_events_job_id ON events (job_id);
CREATE INDEX ix_batches_in_flight ON batches (job_id) WHERE state = 'in_flight';
CREATE INDEX ix_files_notable ON files (job_id, state, unknown_attempts, reason) WHERE (unknown_attempts > 0 OR reason IS NOT NULL);
CREATE INDEX ix_files_state ON files (job_id, state, id, size_bytes);
COMMIT;
