-- What a session reads at a replica is at least as new as what it has written: this is the place in the database's log behind that.
alter table sessions add column written pg_lsn;
