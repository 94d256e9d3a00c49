-- Users and photos get their bucket as a column, so that a shard finds all rows of one at once, and refuses rows of one that it does not have. (A column that
-- is computed by itself would be shorter, and rewrites the table while nobody may use it.) What is new has it from now on; what was there before has null.
alter table users add bucket smallint;
alter table photos add bucket smallint;

create function note_bucket() returns trigger language plpgsql as $$
begin
    new.bucket := new.id % 256;
    return new;
end $$;
create trigger users_note_bucket before insert on users for each row execute function note_bucket();
create trigger photos_note_bucket before insert on photos for each row execute function note_bucket();
