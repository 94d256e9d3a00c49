-- Files that nobody asks for, or that nobody will ask for if nothing more happens. It is written down here before they are made, or in the transaction that
-- takes them from what asks for them; so whatever crashes, they are found again, and swept once they have been here for a while.
create table loose_files (
    photo_id bigint not null,
    version  int not null,                    -- whose sizes these are; 0: all files of the photo
    since    timestamptz not null default now(),
    sweeping boolean not null default false,  -- it is too late to make use of them
    primary key (photo_id, version)
);
create index loose_files_by_age on loose_files (since);
