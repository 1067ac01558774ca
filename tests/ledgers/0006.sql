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
INSERT INTO "attempts" VALUES(1,1,1,'2026-11-26 09:48:41.324337','2026-11-26 09:48:41.416323','sent',202,NULL);
INSERT INTO "attempts" VALUES(2,2,1,'2026-11-26 09:48:41.324337','2026-11-26 09:48:41.438706','sent',202,NULL);
INSERT INTO "attempts" VALUES(3,3,1,'2026-11-26 09:48:41.419713',NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(4,4,1,'2026-11-26 09:48:41.439566',NULL,NULL,NULL,NULL);
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
INSERT INTO "batches" VALUES(1,'hkw3rk',1,NULL,'3610','sent',3,231,'2026-11-26 09:48:41.322880','2026-11-26 09:48:41.416323');
INSERT INTO "batches" VALUES(2,'hkw3rk',1,NULL,'3610','sent',3,231,'2026-11-26 09:48:41.324171','2026-11-26 09:48:41.438706');
INSERT INTO "batches" VALUES(3,'hkw3rk',1,NULL,'3610','in_flight',3,231,'2026-11-26 09:48:41.419502',NULL);
INSERT INTO "batches" VALUES(4,'hkw3rk',1,NULL,'3610','in_flight',3,231,'2026-11-26 09:48:41.439456',NULL);
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
INSERT INTO "events" VALUES(1,'hkw3rk',1,NULL,'vm','root','2026-11-26 09:48:41.103609','job_created','{"source": "/home/user/pictures", "name": "job", "base_url": "http://127.0.0.1:8765", "settings": {"batch_size": 3, "batch_bytes": 67108864, "workers": 2, "processes": 0, "include": [], "exclude": [], "exclude_from": [], "min_size_bytes": null, "max_size_bytes": null, "newer_than_s": null, "files_from": null, "recursive": true, "on_rejected": "hold", "on_unknown": "resend", "settle_s": 30.0, "give_up_after_s": 86400.0, "first_contact_s": 120.0, "max_duration_s": null, "bwlimit": null, "stall_after_s": 600.0, "wait": true, "add": false, "add_bytes": 1073741824, "add_files": 10000, "reindex": "auto"}}','003d496061c8540d614db7d81acb20486781d6b43696ecaaa696bd657f81c0c4');
INSERT INTO "events" VALUES(2,'hkw3rk',2,1,'vm','root','2026-11-26 09:48:41.147252','run_started','{"host": "host", "pid": 21855, "version": "0.2.0"}','f5aea11e76a17b2fbd23d36d63b2885b1ce65b216b4e460a78463a7af0a5fb2b');
INSERT INTO "events" VALUES(3,'hkw3rk',3,1,'vm','root','2026-11-26 09:48:41.202416','scan_finished','{"left_out": {}}','a213abad2951b67b209b826cfe6d81c68c279384cd6b5d799cdf04c41b83b4c4');
INSERT INTO "events" VALUES(4,'hkw3rk',4,1,'vm','root','2026-11-26 09:48:41.205752','create_intended','{}','c79e47213789697f25b5fd96e5659c09ac652dbefa01818cc9119ef175f48463');
INSERT INTO "events" VALUES(5,'hkw3rk',5,1,'vm','root','2026-11-26 09:48:41.285567','dataset_created','{"dataset_id": "0f1672f1-f842-4e63-8227-4a41203ea61e"}','52563fc83ecb20a6fc137aa6a2a922c4ca10a61b6229876580522277d08566b4');
INSERT INTO "events" VALUES(6,'hkw3rk',6,1,'vm','root','2026-11-26 09:48:41.290181','open_intended','{}','69e92b4a5b229516c7b950c2d7cbeba5b74a1dfc2daa810f45aa59be99421368');
INSERT INTO "events" VALUES(7,'hkw3rk',7,1,'vm','root','2026-11-26 09:48:41.310136','transaction_opened','{"transaction_id": "3610"}','88ae1608f716675cbd645cc7f3f1471cb34a0ea4893766e1d33fbe327e52854e');
INSERT INTO "events" VALUES(8,'hkw3rk',8,1,'vm','root','2026-11-26 09:48:41.419207','batch_sent','{"batch": 1, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231, "digest": "5e3fb6718d7a8da9c5d535926d89883173639a802939dfc50082b4f158ac9211"}','2329c58eed8763058a93fffcfbfd4e85a67859203f2723675a84e091d55b8eb4');
INSERT INTO "events" VALUES(9,'hkw3rk',9,1,'vm','root','2026-11-26 09:48:41.439132','batch_sent','{"batch": 2, "attempt": 1, "http_status": 202, "files": 3, "size_bytes": 231, "digest": "603c0a2bf68de7ce54aa17ce385463538b2ca87e25afbdbbb8ae83ba8d8c112d"}','d41765ecc9aa035969e48518409f25b584837a43116e6ba07b6117abdf30d11e');
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
INSERT INTO "files" VALUES(1,'hkw3rk','p0000.png','p0000.png',77,1795686518922644634,'sent',1,1,0,0,'3f29b4b6378deda13bf05af2f9635df853e91275d0d61cfee10b3cbc866a5d57',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(2,'hkw3rk','p0001.png','p0001.png',77,1795686518922794697,'sent',1,1,0,0,'9e1b67e850a601efbb58e75e34a3507b3e150c9df589feb86196d79f4c5d9b41',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(3,'hkw3rk','p0002.png','p0002.png',77,1795686518922891791,'sent',1,1,0,0,'b703429886f8a9cbbd990aa872df150771e8bdf59d602a6b65c4036b5637f5bf',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(4,'hkw3rk','p0003.png','p0003.png',77,1795686518922977469,'sent',2,1,0,0,'26a6b2a4514f036a04a1756f06f61723eb94f0b22310947b755e95693c294e29',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(5,'hkw3rk','p0004.png','p0004.png',77,1795686518923056206,'sent',2,1,0,0,'b4f3124da4ad35e2601fe3406513d6d1f54cc61212fa9c283f2f7c2df618118f',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(6,'hkw3rk','p0005.png','p0005.png',77,1795686518923131428,'sent',2,1,0,0,'8d6e1e6bde25639e2d22b1f099724a8329a9a18cac1a5f7757187fabb74d1571',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(7,'hkw3rk','p0006.png','p0006.png',77,1795686518923206249,'in_flight',3,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(8,'hkw3rk','p0007.png','p0007.png',77,1795686518923316794,'in_flight',3,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(9,'hkw3rk','p0008.png','p0008.png',77,1795686518923393468,'in_flight',3,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(10,'hkw3rk','p0009.png','p0009.png',77,1795686518923465375,'in_flight',4,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(11,'hkw3rk','p0010.png','p0010.png',77,1795686518923530662,'in_flight',4,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(12,'hkw3rk','p0011.png','p0011.png',77,1795686518923597481,'in_flight',4,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(13,'hkw3rk','p0012.png','p0012.png',77,1795686518923663650,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(14,'hkw3rk','p0013.png','p0013.png',77,1795686518923728075,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(15,'hkw3rk','p0014.png','p0014.png',77,1795686518923790739,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(16,'hkw3rk','p0015.png','p0015.png',77,1795686518923853953,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(17,'hkw3rk','p0016.png','p0016.png',77,1795686518923914543,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(18,'hkw3rk','p0017.png','p0017.png',77,1795686518923982093,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(19,'hkw3rk','p0018.png','p0018.png',77,1795686518924046990,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(20,'hkw3rk','p0019.png','p0019.png',77,1795686518924121160,'pending',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
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
INSERT INTO "jobs" VALUES('hkw3rk','/home/user/pictures','job','http://127.0.0.1:8765','transaction_open','{"batch_size": 3, "batch_bytes": 67108864, "workers": 2, "processes": 0, "include": [], "exclude": [], "exclude_from": [], "min_size_bytes": null, "max_size_bytes": null, "newer_than_s": null, "files_from": null, "recursive": true, "on_rejected": "hold", "on_unknown": "resend", "settle_s": 30.0, "give_up_after_s": 86400.0, "first_contact_s": 120.0, "max_duration_s": null, "bwlimit": null, "stall_after_s": 600.0, "wait": true, "add": false, "add_bytes": 1073741824, "add_files": 10000, "reindex": "auto"}','0f1672f1-f842-4e63-8227-4a41203ea61e','3610',1,1,'{}',NULL,NULL,NULL,NULL,NULL,'2026-11-26 09:48:41.081058',NULL,NULL,9,'d41765ecc9aa035969e48518409f25b584837a43116e6ba07b6117abdf30d11e');
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
INSERT INTO "runs" VALUES(1,'hkw3rk','host',21855,'0.2.0','2026-11-26 09:48:41.132290','2026-11-26 09:48:41.132290',NULL,NULL,NULL,NULL);
CREATE UNIQUE INDEX uq_jobs_unfinished ON jobs (source, name, base_url) WHERE state NOT IN ('ready', 'errored', 'cancelled');
CREATE INDEX ix_runs_job_id ON runs (job_id);
CREATE INDEX ix_batches_in_flight ON batches (job_id) WHERE state = 'in_flight';
CREATE INDEX ix_files_notable ON files (job_id, state, unknown_attempts, reason) WHERE (unknown_attempts > 0 OR reason IS NOT NULL);
CREATE INDEX ix_files_state ON files (job_id, state, id, size_bytes);
CREATE INDEX ix_files_listed ON files (job_id, listed) WHERE listed <> 1;
COMMIT;
