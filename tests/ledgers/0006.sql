BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0006');
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
INSERT INTO "attempts" VALUES(1,1,1,'2026-11-26 10:43:32.182564','2026-11-26 10:43:32.335139','sent',202,NULL);
INSERT INTO "attempts" VALUES(2,2,1,'2026-11-26 10:43:32.182564','2026-11-26 10:43:32.335139','sent',202,NULL);
INSERT INTO "attempts" VALUES(3,3,1,'2026-11-26 10:43:32.347815',NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(4,4,1,'2026-11-26 10:43:32.347815',NULL,NULL,NULL,NULL);
CREATE TABLE batches (
	id INTEGER NOT NULL, 
	job_id VARCHAR(16) NOT NULL, 
	run_id INTEGER NOT NULL, 
	parent_id INTEGER, 
	transaction_id TEXT, 
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
INSERT INTO "batches" VALUES(1,'zt5y3y',1,NULL,'3610','sent',3,231,'2026-11-26 10:43:32.175237','2026-11-26 10:43:32.335139');
INSERT INTO "batches" VALUES(2,'zt5y3y',1,NULL,'3610','sent',3,231,'2026-11-26 10:43:32.181899','2026-11-26 10:43:32.335139');
INSERT INTO "batches" VALUES(3,'zt5y3y',1,NULL,'3610','in_flight',3,231,'2026-11-26 10:43:32.347547',NULL);
INSERT INTO "batches" VALUES(4,'zt5y3y',1,NULL,'3610','in_flight',3,231,'2026-11-26 10:43:32.347720',NULL);
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
INSERT INTO "events" VALUES(1,'zt5y3y',1,NULL,'vm','root','2026-11-26 10:43:31.949298','job_created','{"source": "/home/user/pictures", "name": "job", "base_url": "http://127.0.0.1:8765", "settings": {"batch_size": 3, "batch_bytes": 67108864, "workers": 2, "processes": 0, "include": [], "exclude": [], "exclude_from": [], "min_size_bytes": null, "max_size_bytes": null, "newer_than_s": null, "files_from": null, "recursive": true, "on_rejected": "hold", "on_unknown": "resend", "settle_s": 30.0, "give_up_after_s": 86400.0, "first_contact_s": 120.0, "max_duration_s": null, "bwlimit": null, "stall_after_s": 600.0, "wait": true, "confirm": false, "add": false, "add_bytes": 1073741824, "add_files": 10000, "reindex": "auto", "skip_known_content": false, "path_field": null, "folder_field": null}}','0206173d1e10f23b493be4981fcbd95bad9019a39a2027ebe11922146aa8073d');
INSERT INTO "events" VALUES(2,'zt5y3y',2,1,'vm','root','2026-11-26 10:43:31.979033','run_started','{"host": "host", "pid": 5418, "version": "0.2.0"}','25978ec0374cff8dec9eef62c2fa3295efb6e3cb2eb62414957ba150a1245a34');
INSERT INTO "events" VALUES(3,'zt5y3y',3,1,'vm','root','2026-11-26 10:43:32.046762','scan_finished','{"left_out": {}}','f4c97074a1d4288122218007bdb1b8b210e60d6fcfc7d6e494c59cc8f379dad0');
INSERT INTO "events" VALUES(4,'zt5y3y',4,1,'vm','root','2026-11-26 10:43:32.056557','create_intended','{}','daa46059148885542842d84e54d73d607ad4de7d0119cc3fda913dfb8e16880e');
INSERT INTO "events" VALUES(5,'zt5y3y',5,1,'vm','root','2026-11-26 10:43:32.095689','dataset_created','{"dataset_id": "16f46b45-4a50-4275-88c4-a28394d7380e"}','5e666e75301aea6d87b1e1e298db8fb1b804131b44e1fe4cfc2a9922f0ee8eaf');
INSERT INTO "events" VALUES(6,'zt5y3y',6,1,'vm','root','2026-11-26 10:43:32.114246','open_intended','{}','bf5680d504b95491b8494683c65f2cfb3ef4a4b91d093f5f6feb0c773854afb4');
INSERT INTO "events" VALUES(7,'zt5y3y',7,1,'vm','root','2026-11-26 10:43:32.143103','transaction_opened','{"transaction_id": "3610"}','68b4b2a225892363225ba4d70bc473325a435918b680cd58cbdfbfb76cea6d96');
INSERT INTO "events" VALUES(8,'zt5y3y',8,1,'vm','root','2026-11-26 10:43:32.346820','batch_sent','{"batch": 1, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231, "digest": "12e3250cdd23c1288f71e23be7c7791755307396f249f9482469ababfaee91bc"}','4345ed6f55d3e92e5d29b0e8c1b8589bc0f9ec09b2e9d13278b6051fd6ba8755');
INSERT INTO "events" VALUES(9,'zt5y3y',9,1,'vm','root','2026-11-26 10:43:32.346898','batch_sent','{"batch": 2, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231, "digest": "0f05cd4194c1ab7db01473299b83c3756d844209c0bd0a6e5f450d3ac3d613b2"}','4f46bf3368679e6e782b88611926e3f9c3723b70b05a34540ef12ea2fee4caa2');
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
	fields TEXT, 
	CONSTRAINT pk_files PRIMARY KEY (id), 
	CONSTRAINT uq_files_job_id_path UNIQUE (job_id, path), 
	CONSTRAINT uq_files_job_id_sent_as UNIQUE (job_id, sent_as), 
	CONSTRAINT fk_files_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id), 
	CONSTRAINT fk_files_batch_id_batches FOREIGN KEY(batch_id) REFERENCES batches (id)
);
INSERT INTO "files" VALUES(1,'zt5y3y','p0000.png','p0000.png',77,1795689809723684201,'sent',1,1,0,0,'3f29b4b6378deda13bf05af2f9635df853e91275d0d61cfee10b3cbc866a5d57',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(2,'zt5y3y','p0001.png','p0001.png',77,1795689809723860293,'sent',1,1,0,0,'9e1b67e850a601efbb58e75e34a3507b3e150c9df589feb86196d79f4c5d9b41',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(3,'zt5y3y','p0002.png','p0002.png',77,1795689809723958819,'sent',1,1,0,0,'b703429886f8a9cbbd990aa872df150771e8bdf59d602a6b65c4036b5637f5bf',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(4,'zt5y3y','p0003.png','p0003.png',77,1795689809724053460,'sent',2,1,0,0,'26a6b2a4514f036a04a1756f06f61723eb94f0b22310947b755e95693c294e29',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(5,'zt5y3y','p0004.png','p0004.png',77,1795689809724132788,'sent',2,1,0,0,'b4f3124da4ad35e2601fe3406513d6d1f54cc61212fa9c283f2f7c2df618118f',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(6,'zt5y3y','p0005.png','p0005.png',77,1795689809724208330,'sent',2,1,0,0,'8d6e1e6bde25639e2d22b1f099724a8329a9a18cac1a5f7757187fabb74d1571',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(7,'zt5y3y','p0006.png','p0006.png',77,1795689809724376130,'in_flight',3,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(8,'zt5y3y','p0007.png','p0007.png',77,1795689809724495247,'in_flight',3,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(9,'zt5y3y','p0008.png','p0008.png',77,1795689809724572883,'in_flight',3,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(10,'zt5y3y','p0009.png','p0009.png',77,1795689809724644379,'in_flight',4,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(11,'zt5y3y','p0010.png','p0010.png',77,1795689809724755294,'in_flight',4,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(12,'zt5y3y','p0011.png','p0011.png',77,1795689809724903134,'in_flight',4,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(13,'zt5y3y','p0012.png','p0012.png',77,1795689809724980119,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(14,'zt5y3y','p0013.png','p0013.png',77,1795689809725046938,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(15,'zt5y3y','p0014.png','p0014.png',77,1795689809725111304,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(16,'zt5y3y','p0015.png','p0015.png',77,1795689809725221908,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(17,'zt5y3y','p0016.png','p0016.png',77,1795689809725296349,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(18,'zt5y3y','p0017.png','p0017.png',77,1795689809725394625,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(19,'zt5y3y','p0018.png','p0018.png',77,1795689809725491610,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(20,'zt5y3y','p0019.png','p0019.png',77,1795689809725582845,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
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
INSERT INTO "jobs" VALUES('zt5y3y','/home/user/pictures','job','http://127.0.0.1:8765','transaction_open','{"batch_size": 3, "batch_bytes": 67108864, "workers": 2, "processes": 0, "include": [], "exclude": [], "exclude_from": [], "min_size_bytes": null, "max_size_bytes": null, "newer_than_s": null, "files_from": null, "recursive": true, "on_rejected": "hold", "on_unknown": "resend", "settle_s": 30.0, "give_up_after_s": 86400.0, "first_contact_s": 120.0, "max_duration_s": null, "bwlimit": null, "stall_after_s": 600.0, "wait": true, "confirm": false, "add": false, "add_bytes": 1073741824, "add_files": 10000, "reindex": "auto", "skip_known_content": false, "path_field": null, "folder_field": null}','16f46b45-4a50-4275-88c4-a28394d7380e','3610',1,1,'{}',NULL,NULL,NULL,NULL,NULL,'2026-11-26 10:43:31.943335',NULL,NULL,9,'4f46bf3368679e6e782b88611926e3f9c3723b70b05a34540ef12ea2fee4caa2');
CREATE TABLE rounds (
	id INTEGER NOT NULL, 
	job_id VARCHAR(16) NOT NULL, 
	number INTEGER NOT NULL, 
	batch_id INTEGER NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	known_by VARCHAR(20) NOT NULL, 
	began_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	status TEXT, 
	message TEXT, 
	CONSTRAINT pk_rounds PRIMARY KEY (id), 
	CONSTRAINT uq_rounds_job_id_number UNIQUE (job_id, number), 
	CONSTRAINT fk_rounds_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id), 
	CONSTRAINT fk_rounds_batch_id_batches FOREIGN KEY(batch_id) REFERENCES batches (id)
);
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
INSERT INTO "runs" VALUES(1,'zt5y3y','host',5418,'0.2.0','2026-11-26 10:43:31.968724','2026-11-26 10:43:31.968724',NULL,NULL,NULL,NULL);
CREATE UNIQUE INDEX uq_jobs_unfinished ON jobs (source, name, base_url) WHERE state NOT IN ('ready', 'errored', 'cancelled');
CREATE INDEX ix_runs_job_id ON runs (job_id);
CREATE INDEX ix_batches_in_flight ON batches (job_id) WHERE state = 'in_flight';
CREATE INDEX ix_files_notable ON files (job_id, state, unknown_attempts, reason) WHERE (unknown_attempts > 0 OR reason IS NOT NULL);
CREATE INDEX ix_files_state ON files (job_id, state, id, size_bytes);
CREATE INDEX ix_files_listed ON files (job_id, listed) WHERE listed <> 1;
COMMIT;
