BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0005');
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
INSERT INTO "attempts" VALUES(1,1,1,'2026-11-26 09:13:39.555399','2026-11-26 09:13:41.143811','sent',202,NULL);
INSERT INTO "attempts" VALUES(2,2,1,'2026-11-26 09:13:39.559920','2026-11-26 09:13:41.133100','sent',202,NULL);
INSERT INTO "attempts" VALUES(3,3,1,'2026-11-26 09:13:41.146779',NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(4,4,1,'2026-11-26 09:13:41.149836',NULL,NULL,NULL,NULL);
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
INSERT INTO "batches" VALUES(1,'r52r37',1,NULL,'3610','sent',3,231,'2026-11-26 09:13:39.554366','2026-11-26 09:13:41.144070');
INSERT INTO "batches" VALUES(2,'r52r37',1,NULL,'3610','sent',3,231,'2026-11-26 09:13:39.559516','2026-11-26 09:13:41.134073');
INSERT INTO "batches" VALUES(3,'r52r37',1,NULL,'3610','in_flight',3,231,'2026-11-26 09:13:41.146502',NULL);
INSERT INTO "batches" VALUES(4,'r52r37',1,NULL,'3610','in_flight',3,231,'2026-11-26 09:13:41.149621',NULL);
CREATE TABLE events (
	id INTEGER NOT NULL, 
	job_id VARCHAR(16) NOT NULL, 
	number INTEGER NOT NULL, 
	run_id INTEGER, 
	host TEXT, 
	user TEXT, 
	at DATETIME NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	facts JSON NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (id), 
	CONSTRAINT uq_events_job_id_number UNIQUE (job_id, number), 
	CONSTRAINT fk_events_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "events" VALUES(1,'r52r37',1,NULL,'host','user','2026-11-26 09:13:39.495485','job_created','{"source": "/home/user/pictures", "name": "job", "base_url": "http://127.0.0.1:8765", "settings": {"batch_size": 3, "batch_bytes": 67108864, "workers": 2, "include": [], "exclude": [], "exclude_from": [], "min_size_bytes": null, "max_size_bytes": null, "newer_than_s": null, "files_from": null, "recursive": true, "on_rejected": "hold", "on_unknown": "resend", "settle_s": 0.3, "give_up_after_s": 86400.0, "first_contact_s": 120.0, "max_duration_s": null, "bwlimit": null, "stall_after_s": 600.0, "wait": true}}','6f6ab39a9b444b4e799fb40666e6cc0f9f8f5d75d78652ca32555dec495dd270');
INSERT INTO "events" VALUES(2,'r52r37',2,1,'host','user','2026-11-26 09:13:39.508781','run_started','{"host": "host", "pid": 15120, "version": "0.1.0"}','5e1fb274e5344b9b86519d5f500dfa5651c3575c4c07e712e4e4b6c98b25ae79');
INSERT INTO "events" VALUES(3,'r52r37',3,1,'host','user','2026-11-26 09:13:39.523566','scan_finished','{"left_out": {}}','031149649648ff01aec4b23fc04361f776b2849d06e410f6101b449157974c05');
INSERT INTO "events" VALUES(4,'r52r37',4,1,'host','user','2026-11-26 09:13:39.526942','create_intended','{}','2fe492deeef9924454daee37262433f0d813305a8ba7ba0a9a1ed70f4a1d4797');
INSERT INTO "events" VALUES(5,'r52r37',5,1,'host','user','2026-11-26 09:13:39.541427','dataset_created','{"dataset_id": "b1fbd5f8-4563-4798-9258-ebdb9f1425a3"}','202372ccdba263a253b4392eeac55369a5d228d541535c0cff2fe2659079417f');
INSERT INTO "events" VALUES(6,'r52r37',6,1,'host','user','2026-11-26 09:13:39.543901','open_intended','{}','657307a37fef81939c8edcb4abc53a8636263c2cb3bb6c825ca142f4c632caf4');
INSERT INTO "events" VALUES(7,'r52r37',7,1,'host','user','2026-11-26 09:13:39.548225','transaction_opened','{"transaction_id": "3610"}','f2775b7fdd0e9b74558a461ce65ffee5f584f2e4259574c8c6a5f17c7e8df504');
INSERT INTO "events" VALUES(8,'r52r37',8,1,'host','user','2026-11-26 09:13:41.135165','batch_sent','{"batch": 2, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231, "digest": "8c43b446a6f8fdcee8f936e72719b8ca0d7aa6ccea87c63f011f0ee4fa4d54ec"}','42a67d83afb5999013f19f38f54d5080877dad72cad13a2bce207bd2c674f695');
INSERT INTO "events" VALUES(9,'r52r37',9,1,'host','user','2026-11-26 09:13:41.144498','batch_sent','{"batch": 1, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231, "digest": "c95cad23781ae17051ac80d7d3527fb1148e6b4409e0008826f8b13d2c5cc6ee"}','8dbd2780da123d4e3ce80bb2f075726c8b72e36793058e19560e45528ebb262f');
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
	decided_by TEXT, 
	decided_why TEXT, 
	listed INTEGER, 
	media_id TEXT, 
	listed_at DATETIME, 
	CONSTRAINT pk_files PRIMARY KEY (id), 
	CONSTRAINT uq_files_job_id_path UNIQUE (job_id, path), 
	CONSTRAINT uq_files_job_id_sent_as UNIQUE (job_id, sent_as), 
	CONSTRAINT fk_files_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id), 
	CONSTRAINT fk_files_batch_id_batches FOREIGN KEY(batch_id) REFERENCES batches (id)
);
INSERT INTO "files" VALUES(1,'r52r37','p0000.png','p0000.png',77,1795684418676550664,'sent',1,1,0,0,'3f29b4b6378deda13bf05af2f9635df853e91275d0d61cfee10b3cbc866a5d57',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(2,'r52r37','p0001.png','p0001.png',77,1795684418676720757,'sent',1,1,0,0,'9e1b67e850a601efbb58e75e34a3507b3e150c9df589feb86196d79f4c5d9b41',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(3,'r52r37','p0002.png','p0002.png',77,1795684418676837411,'sent',1,1,0,0,'b703429886f8a9cbbd990aa872df150771e8bdf59d602a6b65c4036b5637f5bf',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(4,'r52r37','p0003.png','p0003.png',77,1795684418676940564,'sent',2,1,0,0,'26a6b2a4514f036a04a1756f06f61723eb94f0b22310947b755e95693c294e29',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(5,'r52r37','p0004.png','p0004.png',77,1795684418677065260,'sent',2,1,0,0,'b4f3124da4ad35e2601fe3406513d6d1f54cc61212fa9c283f2f7c2df618118f',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(6,'r52r37','p0005.png','p0005.png',77,1795684418677226199,'sent',2,1,0,0,'8d6e1e6bde25639e2d22b1f099724a8329a9a18cac1a5f7757187fabb74d1571',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(7,'r52r37','p0006.png','p0006.png',77,1795684418677337014,'in_flight',3,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(8,'r52r37','p0007.png','p0007.png',77,1795684418677461129,'in_flight',3,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(9,'r52r37','p0008.png','p0008.png',77,1795684418677553486,'in_flight',3,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(10,'r52r37','p0009.png','p0009.png',77,1795684418677676820,'in_flight',4,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(11,'r52r37','p0010.png','p0010.png',77,1795684418677782417,'in_flight',4,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(12,'r52r37','p0011.png','p0011.png',77,1795684418677867163,'in_flight',4,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(13,'r52r37','p0012.png','p0012.png',77,1795684418677948143,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(14,'r52r37','p0013.png','p0013.png',77,1795684418678026530,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(15,'r52r37','p0014.png','p0014.png',77,1795684418678102002,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(16,'r52r37','p0015.png','p0015.png',77,1795684418678177735,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(17,'r52r37','p0016.png','p0016.png',77,1795684418678252206,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(18,'r52r37','p0017.png','p0017.png',77,1795684418678326656,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(19,'r52r37','p0018.png','p0018.png',77,1795684418678433385,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(20,'r52r37','p0019.png','p0019.png',77,1795684418678523289,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
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
	event_count INTEGER DEFAULT '0' NOT NULL, 
	event_head VARCHAR(64), 
	CONSTRAINT pk_jobs PRIMARY KEY (id)
);
INSERT INTO "jobs" VALUES('r52r37','/home/user/pictures','job','http://127.0.0.1:8765','transaction_open','{"batch_size": 3, "batch_bytes": 67108864, "workers": 2, "include": [], "exclude": [], "exclude_from": [], "min_size_bytes": null, "max_size_bytes": null, "newer_than_s": null, "files_from": null, "recursive": true, "on_rejected": "hold", "on_unknown": "resend", "settle_s": 0.3, "give_up_after_s": 86400.0, "first_contact_s": 120.0, "max_duration_s": null, "bwlimit": null, "stall_after_s": 600.0, "wait": true}','b1fbd5f8-4563-4798-9258-ebdb9f1425a3','3610',1,1,'{}',NULL,NULL,NULL,NULL,NULL,'2026-11-26 09:13:39.493801',NULL,NULL,9,'8dbd2780da123d4e3ce80bb2f075726c8b72e36793058e19560e45528ebb262f');
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
	waiting_for TEXT, 
	waiting_since DATETIME, 
	CONSTRAINT pk_runs PRIMARY KEY (id), 
	CONSTRAINT fk_runs_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "runs" VALUES(1,'r52r37','host',15120,'0.1.0','2026-11-26 09:13:39.507418','2026-11-26 09:13:39.507418',NULL,NULL,NULL,NULL);
CREATE UNIQUE INDEX uq_jobs_unfinished ON jobs (source, name, base_url) WHERE state NOT IN ('ready', 'errored', 'cancelled');
CREATE INDEX ix_runs_job_id ON runs (job_id);
CREATE INDEX ix_batches_in_flight ON batches (job_id) WHERE state = 'in_flight';
CREATE INDEX ix_files_notable ON files (job_id, state, unknown_attempts, reason) WHERE (unknown_attempts > 0 OR reason IS NOT NULL);
CREATE INDEX ix_files_listed ON files (job_id, listed) WHERE listed <> 1;
CREATE INDEX ix_files_state ON files (job_id, state, id, size_bytes);
COMMIT;
