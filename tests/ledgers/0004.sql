BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
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
INSERT INTO "attempts" VALUES(1,1,1,'2026-11-26 06:03:29.752796','2026-11-26 06:03:31.604291','sent',202,NULL);
INSERT INTO "attempts" VALUES(2,2,1,'2026-11-26 06:03:29.765344','2026-11-26 06:03:31.607971','sent',202,NULL);
INSERT INTO "attempts" VALUES(3,3,1,'2026-11-26 06:03:31.609604',NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(4,4,1,'2026-11-26 06:03:31.611016',NULL,NULL,NULL,NULL);
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
INSERT INTO "batches" VALUES(1,'prkxa6',1,NULL,'3610','sent',3,231,'2026-11-26 06:03:29.751700','2026-11-26 06:03:31.605289');
INSERT INTO "batches" VALUES(2,'prkxa6',1,NULL,'3610','sent',3,231,'2026-11-26 06:03:29.764899','2026-11-26 06:03:31.608143');
INSERT INTO "batches" VALUES(3,'prkxa6',1,NULL,'3610','in_flight',3,231,'2026-11-26 06:03:31.609408',NULL);
INSERT INTO "batches" VALUES(4,'prkxa6',1,NULL,'3610','in_flight',3,231,'2026-11-26 06:03:31.610815',NULL);
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
INSERT INTO "events" VALUES(1,'prkxa6',1,NULL,'host','user','2026-11-26 06:03:29.624919','job_created','{"source": "/home/user/pictures", "name": "job", "base_url": "http://127.0.0.1:8765", "settings": {"batch_size": 3, "batch_bytes": 67108864, "workers": 2, "include": [], "exclude": [], "files_from": null, "recursive": true, "on_rejected": "hold", "on_unknown": "resend", "settle_s": 0.3, "give_up_after_s": 86400.0, "max_duration_s": null, "bwlimit": null, "stall_after_s": 600.0, "wait": true}}','bee9c8b79ec0bfb94eb23e0ff05ac00f760fe914c0d949c8ac7368af77b887a6');
INSERT INTO "events" VALUES(2,'prkxa6',2,1,'host','user','2026-11-26 06:03:29.635644','run_started','{"host": "host", "pid": 10543, "version": "0.1.0"}','6d4cab1680e24734e3e0346378ef7bf3a7ac2696788e7a7b90544acf0391a913');
INSERT INTO "events" VALUES(3,'prkxa6',3,1,'host','user','2026-11-26 06:03:29.669856','scan_finished','{"left_out": {}}','c9248bc677fe7b364e3692e3104845c71dcca40d0c6754fa243cfa7b81356482');
INSERT INTO "events" VALUES(4,'prkxa6',4,1,'host','user','2026-11-26 06:03:29.681749','create_intended','{}','eb30979f702fc2535d00059cc29d60d645bfdf81ceac8215deed00783c45a0b3');
INSERT INTO "events" VALUES(5,'prkxa6',5,1,'host','user','2026-11-26 06:03:29.706472','dataset_created','{"dataset_id": "87b360ac-e07c-4f59-ab50-b16b0d01c0f8"}','e2999034117c02c161ec774fd0588857a16786ac057a25ae603eecccab4a2097');
INSERT INTO "events" VALUES(6,'prkxa6',6,1,'host','user','2026-11-26 06:03:29.713745','open_intended','{}','10872e9ac93d11f11471e0d46fee675b7e17a864c607e9f55cb297178688db79');
INSERT INTO "events" VALUES(7,'prkxa6',7,1,'host','user','2026-11-26 06:03:29.726881','transaction_opened','{"transaction_id": "3610"}','4c3893a86f31312bb681344963d878db078bc958b41887763ca98109bde77c70');
INSERT INTO "events" VALUES(8,'prkxa6',8,1,'host','user','2026-11-26 06:03:31.606786','batch_sent','{"batch": 1, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231, "digest": "cb17a9ff069eb3fc6d8b4c53f48471ad3c9d8caa1ae2c720da61d8870e472d30"}','5b083613988eaeacc7923a34fd0f6b7017a47ce94736b6871afc74ce70647b57');
INSERT INTO "events" VALUES(9,'prkxa6',9,1,'host','user','2026-11-26 06:03:31.608487','batch_sent','{"batch": 2, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231, "digest": "8052d03532b0bfe67bc365211c05bb8eab115345b156d47191cb192363f51885"}','c6533cd2633b60986fec84036054bf1131f3d4c4a5598f638c539f4281236fca');
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
	CONSTRAINT pk_files PRIMARY KEY (id), 
	CONSTRAINT uq_files_job_id_path UNIQUE (job_id, path), 
	CONSTRAINT uq_files_job_id_sent_as UNIQUE (job_id, sent_as), 
	CONSTRAINT fk_files_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id), 
	CONSTRAINT fk_files_batch_id_batches FOREIGN KEY(batch_id) REFERENCES batches (id)
);
INSERT INTO "files" VALUES(1,'prkxa6','p0000.png','p0000.png',77,1795673008836149892,'sent',1,1,0,0,'3f29b4b6378deda13bf05af2f9635df853e91275d0d61cfee10b3cbc866a5d57',NULL,NULL,NULL);
INSERT INTO "files" VALUES(2,'prkxa6','p0001.png','p0001.png',77,1795673008836357561,'sent',1,1,0,0,'9e1b67e850a601efbb58e75e34a3507b3e150c9df589feb86196d79f4c5d9b41',NULL,NULL,NULL);
INSERT INTO "files" VALUES(3,'prkxa6','p0002.png','p0002.png',77,1795673008836553873,'sent',1,1,0,0,'b703429886f8a9cbbd990aa872df150771e8bdf59d602a6b65c4036b5637f5bf',NULL,NULL,NULL);
INSERT INTO "files" VALUES(4,'prkxa6','p0003.png','p0003.png',77,1795673008836699109,'sent',2,1,0,0,'26a6b2a4514f036a04a1756f06f61723eb94f0b22310947b755e95693c294e29',NULL,NULL,NULL);
INSERT INTO "files" VALUES(5,'prkxa6','p0004.png','p0004.png',77,1795673008836871335,'sent',2,1,0,0,'b4f3124da4ad35e2601fe3406513d6d1f54cc61212fa9c283f2f7c2df618118f',NULL,NULL,NULL);
INSERT INTO "files" VALUES(6,'prkxa6','p0005.png','p0005.png',77,1795673008837013777,'sent',2,1,0,0,'8d6e1e6bde25639e2d22b1f099724a8329a9a18cac1a5f7757187fabb74d1571',NULL,NULL,NULL);
INSERT INTO "files" VALUES(7,'prkxa6','p0006.png','p0006.png',77,1795673008838928996,'in_flight',3,1,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(8,'prkxa6','p0007.png','p0007.png',77,1795673008839192138,'in_flight',3,1,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(9,'prkxa6','p0008.png','p0008.png',77,1795673008839375080,'in_flight',3,1,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(10,'prkxa6','p0009.png','p0009.png',77,1795673008839517381,'in_flight',4,1,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(11,'prkxa6','p0010.png','p0010.png',77,1795673008839677420,'in_flight',4,1,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(12,'prkxa6','p0011.png','p0011.png',77,1795673008839819241,'in_flight',4,1,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(13,'prkxa6','p0012.png','p0012.png',77,1795673008839973550,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(14,'prkxa6','p0013.png','p0013.png',77,1795673008840109032,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(15,'prkxa6','p0014.png','p0014.png',77,1795673008840269260,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(16,'prkxa6','p0015.png','p0015.png',77,1795673008840391031,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(17,'prkxa6','p0016.png','p0016.png',77,1795673008840543628,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(18,'prkxa6','p0017.png','p0017.png',77,1795673008840669946,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(19,'prkxa6','p0018.png','p0018.png',77,1795673008840822253,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(20,'prkxa6','p0019.png','p0019.png',77,1795673008840949422,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL);
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
INSERT INTO "jobs" VALUES('prkxa6','/home/user/pictures','job','http://127.0.0.1:8765','transaction_open','{"batch_size": 3, "batch_bytes": 67108864, "workers": 2, "include": [], "exclude": [], "files_from": null, "recursive": true, "on_rejected": "hold", "on_unknown": "resend", "settle_s": 0.3, "give_up_after_s": 86400.0, "max_duration_s": null, "bwlimit": null, "stall_after_s": 600.0, "wait": true}','87b360ac-e07c-4f59-ab50-b16b0d01c0f8','3610',1,1,'{}',NULL,NULL,NULL,NULL,NULL,'2026-11-26 06:03:29.623831',NULL,NULL,9,'c6533cd2633b60986fec84036054bf1131f3d4c4a5598f638c539f4281236fca');
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
INSERT INTO "runs" VALUES(1,'prkxa6','host',10543,'0.1.0','2026-11-26 06:03:29.634389','2026-11-26 06:03:29.634389',NULL,NULL,NULL,NULL);
CREATE UNIQUE INDEX uq_jobs_unfinished ON jobs (source, name, base_url) WHERE state NOT IN ('ready', 'errored', 'cancelled');
CREATE INDEX ix_runs_job_id ON runs (job_id);
CREATE INDEX ix_batches_in_flight ON batches (job_id) WHERE state = 'in_flight';
CREATE INDEX ix_files_state ON files (job_id, state, id, size_bytes);
CREATE INDEX ix_files_notable ON files (job_id, state, unknown_attempts, reason) WHERE (unknown_attempts > 0 OR reason IS NOT NULL);
COMMIT;
