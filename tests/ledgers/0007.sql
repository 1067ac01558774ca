BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0007');
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
INSERT INTO "attempts" VALUES(1,1,1,'2026-11-26 15:24:13.742129','2026-11-26 15:24:13.815621','sent',202,NULL);
INSERT INTO "attempts" VALUES(2,2,1,'2026-11-26 15:24:13.742129','2026-11-26 15:24:13.797051','sent',202,NULL);
INSERT INTO "attempts" VALUES(3,3,1,'2026-11-26 15:24:13.805812',NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(4,4,1,'2026-11-26 15:24:13.816761',NULL,NULL,NULL,NULL);
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
INSERT INTO "batches" VALUES(1,'q2mcng',1,NULL,'3610','sent',3,231,'2026-11-26 15:24:13.734743','2026-11-26 15:24:13.815621');
INSERT INTO "batches" VALUES(2,'q2mcng',1,NULL,'3610','sent',3,231,'2026-11-26 15:24:13.741760','2026-11-26 15:24:13.797051');
INSERT INTO "batches" VALUES(3,'q2mcng',1,NULL,'3610','in_flight',3,231,'2026-11-26 15:24:13.805574',NULL);
INSERT INTO "batches" VALUES(4,'q2mcng',1,NULL,'3610','in_flight',3,231,'2026-11-26 15:24:13.816565',NULL);
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
INSERT INTO "events" VALUES(1,'q2mcng',1,NULL,'vm','root','2026-11-26 15:24:13.642980','job_created','{"source": "/home/user/pictures", "name": "job", "base_url": "http://127.0.0.1:8765", "settings": {"batch_size": 3, "batch_bytes": 67108864, "workers": 2, "processes": 0, "dask": null, "remote_source": null, "include": [], "exclude": [], "exclude_from": [], "min_size_bytes": null, "max_size_bytes": null, "newer_than_s": null, "files_from": null, "recursive": true, "on_rejected": "hold", "on_unknown": "resend", "settle_s": 30.0, "give_up_after_s": 86400.0, "first_contact_s": 120.0, "max_duration_s": null, "bwlimit": null, "stall_after_s": 600.0, "wait": true, "confirm": false, "add": false, "add_bytes": 1073741824, "add_files": 10000, "reindex": "auto", "changed": "hold", "skip_known_content": false, "path_field": null, "folder_field": null}}','c0a203e0544688a9d886727c6e72c62cf9f662eb22fcae83fe04bc3970b1adc2');
INSERT INTO "events" VALUES(2,'q2mcng',2,1,'vm','root','2026-11-26 15:24:13.659275','run_started','{"host": "host", "pid": 18079, "version": "0.2.0"}','7ac47f1b2da2c5ee3ef92ea64ddb9f2cea5adbaedb5e58abed4041b134362cb9');
INSERT INTO "events" VALUES(3,'q2mcng',3,1,'vm','root','2026-11-26 15:24:13.697933','scan_finished','{"left_out": {}}','319db41acd1fc748cf621520b5c2cd42f52700a7876f4a67d81b487311086e34');
INSERT INTO "events" VALUES(4,'q2mcng',4,1,'vm','root','2026-11-26 15:24:13.704154','create_intended','{"known": []}','6e88b4cff6f10c9aa6e5d8cdd7368f662d1f025a152f6aa856e6733c33781083');
INSERT INTO "events" VALUES(5,'q2mcng',5,1,'vm','root','2026-11-26 15:24:13.711369','dataset_created','{"dataset_id": "1f420e70-a4fa-4f6e-8ede-7fd029813a4d"}','ef4e499e9f784f3387111d1c8de825b7ad0b2937eca0930ebb47f0999f5bd111');
INSERT INTO "events" VALUES(6,'q2mcng',6,1,'vm','root','2026-11-26 15:24:13.718135','open_intended','{}','2848e00d86507103852c4c20966bbe745da9041ba2d32b5ff2063942c30c4c33');
INSERT INTO "events" VALUES(7,'q2mcng',7,1,'vm','root','2026-11-26 15:24:13.725581','transaction_opened','{"transaction_id": "3610"}','8a6eb9591e25560e38bfed94bd3c40c54e0ed446f6662d409dd42eaffee1219e');
INSERT INTO "events" VALUES(8,'q2mcng',8,1,'vm','root','2026-11-26 15:24:13.805051','batch_sent','{"batch": 2, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231, "digest": "33579cb6b2de78258a9f35de762edcb9edcbd41d97a6b30f3b327b9f8722a74b"}','707c93c7c98d338c17c3c4abc51f6e08af674a686d880a70368dcb1cf2af90f7');
INSERT INTO "events" VALUES(9,'q2mcng',9,1,'vm','root','2026-11-26 15:24:13.816093','batch_sent','{"batch": 1, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231, "digest": "6e8c27287411e3de3ead21f6e2ba16882bbf8abcdf4516dfcb2b5fcb907abd04"}','d9054c7a97970e00c4ebb18cb3097072bb2d6ae06cdfa54b86a35c8f9841402e');
CREATE TABLE files (
	id INTEGER NOT NULL, 
	job_id VARCHAR(16) NOT NULL, 
	path TEXT NOT NULL, 
	version INTEGER DEFAULT '1' NOT NULL, 
	sent_as TEXT NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	mtime_ns BIGINT NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	batch_id INTEGER, 
	attempts INTEGER DEFAULT '0' NOT NULL, 
	unknown_attempts INTEGER DEFAULT '0' NOT NULL, 
	changes INTEGER DEFAULT '0' NOT NULL, 
	touched_ns BIGINT, 
	sha256 VARCHAR(64), 
	reason TEXT, 
	decided_by TEXT, 
	decided_why TEXT, 
	listed INTEGER, 
	media_id TEXT, 
	listed_at DATETIME, 
	fields TEXT, 
	CONSTRAINT pk_files PRIMARY KEY (id), 
	CONSTRAINT uq_files_job_id_path_version UNIQUE (job_id, path, version), 
	CONSTRAINT uq_files_job_id_sent_as UNIQUE (job_id, sent_as), 
	CONSTRAINT fk_files_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id), 
	CONSTRAINT fk_files_batch_id_batches FOREIGN KEY(batch_id) REFERENCES batches (id)
);
INSERT INTO "files" VALUES(1,'q2mcng','p0000.png',1,'p0000.png',77,1795706652603286004,'sent',1,1,0,0,NULL,'3f29b4b6378deda13bf05af2f9635df853e91275d0d61cfee10b3cbc866a5d57',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(2,'q2mcng','p0001.png',1,'p0001.png',77,1795706652603612810,'sent',1,1,0,0,NULL,'9e1b67e850a601efbb58e75e34a3507b3e150c9df589feb86196d79f4c5d9b41',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(3,'q2mcng','p0002.png',1,'p0002.png',77,1795706652603826428,'sent',1,1,0,0,NULL,'b703429886f8a9cbbd990aa872df150771e8bdf59d602a6b65c4036b5637f5bf',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(4,'q2mcng','p0003.png',1,'p0003.png',77,1795706652604024403,'sent',2,1,0,0,NULL,'26a6b2a4514f036a04a1756f06f61723eb94f0b22310947b755e95693c294e29',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(5,'q2mcng','p0004.png',1,'p0004.png',77,1795706652604206874,'sent',2,1,0,0,NULL,'b4f3124da4ad35e2601fe3406513d6d1f54cc61212fa9c283f2f7c2df618118f',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(6,'q2mcng','p0005.png',1,'p0005.png',77,1795706652604386642,'sent',2,1,0,0,NULL,'8d6e1e6bde25639e2d22b1f099724a8329a9a18cac1a5f7757187fabb74d1571',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(7,'q2mcng','p0006.png',1,'p0006.png',77,1795706652604561612,'in_flight',3,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(8,'q2mcng','p0007.png',1,'p0007.png',77,1795706652604775290,'in_flight',3,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(9,'q2mcng','p0008.png',1,'p0008.png',77,1795706652604966074,'in_flight',3,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(10,'q2mcng','p0009.png',1,'p0009.png',77,1795706652605135886,'in_flight',4,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(11,'q2mcng','p0010.png',1,'p0010.png',77,1795706652605360260,'in_flight',4,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(12,'q2mcng','p0011.png',1,'p0011.png',77,1795706652605534609,'in_flight',4,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(13,'q2mcng','p0012.png',1,'p0012.png',77,1795706652605704863,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(14,'q2mcng','p0013.png',1,'p0013.png',77,1795706652605877530,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(15,'q2mcng','p0014.png',1,'p0014.png',77,1795706652606041273,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(16,'q2mcng','p0015.png',1,'p0015.png',77,1795706652606198697,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(17,'q2mcng','p0016.png',1,'p0016.png',77,1795706652606354990,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(18,'q2mcng','p0017.png',1,'p0017.png',77,1795706652606507346,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(19,'q2mcng','p0018.png',1,'p0018.png',77,1795706652606662948,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(20,'q2mcng','p0019.png',1,'p0019.png',77,1795706652606816476,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
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
INSERT INTO "jobs" VALUES('q2mcng','/home/user/pictures','job','http://127.0.0.1:8765','transaction_open','{"batch_size": 3, "batch_bytes": 67108864, "workers": 2, "processes": 0, "dask": null, "remote_source": null, "include": [], "exclude": [], "exclude_from": [], "min_size_bytes": null, "max_size_bytes": null, "newer_than_s": null, "files_from": null, "recursive": true, "on_rejected": "hold", "on_unknown": "resend", "settle_s": 30.0, "give_up_after_s": 86400.0, "first_contact_s": 120.0, "max_duration_s": null, "bwlimit": null, "stall_after_s": 600.0, "wait": true, "confirm": false, "add": false, "add_bytes": 1073741824, "add_files": 10000, "reindex": "auto", "changed": "hold", "skip_known_content": false, "path_field": null, "folder_field": null}','1f420e70-a4fa-4f6e-8ede-7fd029813a4d','3610',1,1,'{}',NULL,NULL,NULL,NULL,NULL,'2026-11-26 15:24:13.641104',NULL,NULL,9,'d9054c7a97970e00c4ebb18cb3097072bb2d6ae06cdfa54b86a35c8f9841402e');
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
INSERT INTO "runs" VALUES(1,'q2mcng','host',18079,'0.2.0','2026-11-26 15:24:13.657228','2026-11-26 15:24:13.657228',NULL,NULL,NULL,NULL);
CREATE UNIQUE INDEX uq_jobs_unfinished ON jobs (source, name, base_url) WHERE state NOT IN ('ready', 'errored', 'cancelled');
CREATE INDEX ix_runs_job_id ON runs (job_id);
CREATE INDEX ix_batches_in_flight ON batches (job_id) WHERE state = 'in_flight';
CREATE INDEX ix_files_state ON files (job_id, state, id, size_bytes);
CREATE INDEX ix_files_listed ON files (job_id, listed) WHERE listed <> 1;
CREATE INDEX ix_files_notable ON files (job_id, state, unknown_attempts, reason) WHERE (unknown_attempts > 0 OR reason IS NOT NULL);
COMMIT;
