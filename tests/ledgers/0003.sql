BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
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
INSERT INTO "attempts" VALUES(1,1,1,'2026-01-03 04:56:48.152209','2026-01-03 04:56:48.504945','sent',202,NULL);
INSERT INTO "attempts" VALUES(2,2,1,'2026-01-03 04:56:48.159389','2026-01-03 04:56:48.498239','sent',202,NULL);
INSERT INTO "attempts" VALUES(3,3,1,'2026-01-03 04:56:48.504001',NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(4,4,1,'2026-01-03 04:56:48.509889',NULL,NULL,NULL,NULL);
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
INSERT INTO "batches" VALUES(1,'d8388g',1,NULL,'3610','sent',3,231,'2026-01-03 04:56:48.150275','2026-01-03 04:56:48.505260');
INSERT INTO "batches" VALUES(2,'d8388g',1,NULL,'3610','sent',3,231,'2026-01-03 04:56:48.158623','2026-01-03 04:56:48.499717');
INSERT INTO "batches" VALUES(3,'d8388g',1,NULL,'3610','in_flight',3,231,'2026-01-03 04:56:48.503617',NULL);
INSERT INTO "batches" VALUES(4,'d8388g',1,NULL,'3610','in_flight',3,231,'2026-01-03 04:56:48.509521',NULL);
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
INSERT INTO "events" VALUES(1,'d8388g',1,NULL,'host','user','2026-01-03 04:56:48.091929','job_created','{"source": "/home/user/pictures", "name": "job", "base_url": "http://127.0.0.1:8765"}','d7e6802b528eb94e69f0f7242369b004976fdd0b3243dbd1f47931f136d6dc76');
INSERT INTO "events" VALUES(2,'d8388g',2,1,'host','user','2026-01-03 04:56:48.103952','run_started','{"host": "host", "pid": 29279, "version": "0.1.0"}','1c588720678be5e0fc153f9143543c4659584d0620cda95b9e614b1cf85c2adb');
INSERT INTO "events" VALUES(3,'d8388g',3,1,'host','user','2026-01-03 04:56:48.121436','scan_finished','{"left_out": {}}','226aaa61f30dde2127a719a4dcebe54162aa28f540736758823f3854f2ad338d');
INSERT INTO "events" VALUES(4,'d8388g',4,1,'host','user','2026-01-03 04:56:48.124496','create_intended','{}','8abf456bd51b55951b46f60068c17eff6c0e63a6f79893a6d05cc82faa397ed0');
INSERT INTO "events" VALUES(5,'d8388g',5,1,'host','user','2026-01-03 04:56:48.132929','dataset_created','{"dataset_id": "5d97b3ef-4645-4e5d-9e43-41d962bd8249"}','26594eebc7a2b92bd2ea45d2cea765efed3b919f359d055fe56530daaf969d38');
INSERT INTO "events" VALUES(6,'d8388g',6,1,'host','user','2026-01-03 04:56:48.135697','open_intended','{}','197a30d69074400cc548d175dcd3f7758c5ae7aa38c1ba1fd7ce0e898a8c8797');
INSERT INTO "events" VALUES(7,'d8388g',7,1,'host','user','2026-01-03 04:56:48.143075','transaction_opened','{"transaction_id": "3610"}','393ed3fc30c9e49903722c4ba985daf8acb3010d5dfbf1879e02319fbdb5b6f1');
INSERT INTO "events" VALUES(8,'d8388g',8,1,'host','user','2026-01-03 04:56:48.501675','batch_sent','{"batch": 2, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231, "digest": "36fb0a384078949007996b1f6bee585fb23d3a3d2ac116c753a95430617d9fc7"}','7c666051c9c48b50714adccb8a36290800d4a0b49b23f63ac65abefa4a597ea9');
INSERT INTO "events" VALUES(9,'d8388g',9,1,'host','user','2026-01-03 04:56:48.505832','batch_sent','{"batch": 1, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231, "digest": "78ec26069e936b77ff5f51f8c891cb23d6b88ca448cede358993bd9aeaaf9ef3"}','5dedd6e75e5b4d6c9e80082735e5dff7ad25f1722d476c030b398cb4a9909932');
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
INSERT INTO "files" VALUES(1,'d8388g','p0000.png','p0000.png',77,1795496207416912742,'sent',1,1,0,0,'3f29b4b6378deda13bf05af2f9635df853e91275d0d61cfee10b3cbc866a5d57',NULL);
INSERT INTO "files" VALUES(2,'d8388g','p0001.png','p0001.png',77,1795496207417172452,'sent',1,1,0,0,'9e1b67e850a601efbb58e75e34a3507b3e150c9df589feb86196d79f4c5d9b41',NULL);
INSERT INTO "files" VALUES(3,'d8388g','p0002.png','p0002.png',77,1795496207417306387,'sent',1,1,0,0,'b703429886f8a9cbbd990aa872df150771e8bdf59d602a6b65c4036b5637f5bf',NULL);
INSERT INTO "files" VALUES(4,'d8388g','p0003.png','p0003.png',77,1795496207417488432,'sent',2,1,0,0,'26a6b2a4514f036a04a1756f06f61723eb94f0b22310947b755e95693c294e29',NULL);
INSERT INTO "files" VALUES(5,'d8388g','p0004.png','p0004.png',77,1795496207417609263,'sent',2,1,0,0,'b4f3124da4ad35e2601fe3406513d6d1f54cc61212fa9c283f2f7c2df618118f',NULL);
INSERT INTO "files" VALUES(6,'d8388g','p0005.png','p0005.png',77,1795496207417780878,'sent',2,1,0,0,'8d6e1e6bde25639e2d22b1f099724a8329a9a18cac1a5f7757187fabb74d1571',NULL);
INSERT INTO "files" VALUES(7,'d8388g','p0006.png','p0006.png',77,1795496207417923460,'in_flight',3,1,0,0,NULL,NULL);
INSERT INTO "files" VALUES(8,'d8388g','p0007.png','p0007.png',77,1795496207418130511,'in_flight',3,1,0,0,NULL,NULL);
INSERT INTO "files" VALUES(9,'d8388g','p0008.png','p0008.png',77,1795496207418422561,'in_flight',3,1,0,0,NULL,NULL);
INSERT INTO "files" VALUES(10,'d8388g','p0009.png','p0009.png',77,1795496207418589007,'in_flight',4,1,0,0,NULL,NULL);
INSERT INTO "files" VALUES(11,'d8388g','p0010.png','p0010.png',77,1795496207418723884,'in_flight',4,1,0,0,NULL,NULL);
INSERT INTO "files" VALUES(12,'d8388g','p0011.png','p0011.png',77,1795496207418930880,'in_flight',4,1,0,0,NULL,NULL);
INSERT INTO "files" VALUES(13,'d8388g','p0012.png','p0012.png',77,1795496207419140281,'pending',NULL,0,0,0,NULL,NULL);
INSERT INTO "files" VALUES(14,'d8388g','p0013.png','p0013.png',77,1795496207419343756,'pending',NULL,0,0,0,NULL,NULL);
INSERT INTO "files" VALUES(15,'d8388g','p0014.png','p0014.png',77,1795496207419482971,'pending',NULL,0,0,0,NULL,NULL);
INSERT INTO "files" VALUES(16,'d8388g','p0015.png','p0015.png',77,1795496207419588989,'pending',NULL,0,0,0,NULL,NULL);
INSERT INTO "files" VALUES(17,'d8388g','p0016.png','p0016.png',77,1795496207419784905,'pending',NULL,0,0,0,NULL,NULL);
INSERT INTO "files" VALUES(18,'d8388g','p0017.png','p0017.png',77,1795496207419971363,'pending',NULL,0,0,0,NULL,NULL);
INSERT INTO "files" VALUES(19,'d8388g','p0018.png','p0018.png',77,1795496207420147712,'pending',NULL,0,0,0,NULL,NULL);
INSERT INTO "files" VALUES(20,'d8388g','p0019.png','p0019.png',77,1795496207420351603,'pending',NULL,0,0,0,NULL,NULL);
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
INSERT INTO "jobs" VALUES('d8388g','/home/user/pictures','job','http://127.0.0.1:8765','transaction_open','{"batch_size": 3, "batch_bytes": 67108864, "workers": 2, "include": [], "exclude": [], "files_from": null, "recursive": true, "on_rejected": "hold", "on_unknown": "resend", "settle_s": 0.3, "give_up_after_s": 86400.0, "max_duration_s": null, "wait": true}','5d97b3ef-4645-4e5d-9e43-41d962bd8249','3610',1,1,'{}',NULL,NULL,NULL,NULL,NULL,'2026-01-03 04:56:48.088790',NULL,NULL,9,'5dedd6e75e5b4d6c9e80082735e5dff7ad25f1722d476c030b398cb4a9909932');
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
INSERT INTO "runs" VALUES(1,'d8388g','host',29279,'0.1.0','2026-01-03 04:56:48.101122','2026-01-03 04:56:48.101122',NULL,NULL);
CREATE UNIQUE INDEX uq_jobs_unfinished ON jobs (source, name, base_url) WHERE state NOT IN ('ready', 'errored', 'cancelled');
CREATE INDEX ix_runs_job_id ON runs (job_id);
CREATE INDEX ix_batches_in_flight ON batches (job_id) WHERE state = 'in_flight';
CREATE INDEX ix_files_notable ON files (job_id, state, unknown_attempts, reason) WHERE (unknown_attempts > 0 OR reason IS NOT NULL);
CREATE INDEX ix_files_state ON files (job_id, state, id, size_bytes);
COMMIT;
