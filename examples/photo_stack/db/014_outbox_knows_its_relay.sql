-- Each data centre has a relay of its own, which publishes what was uploaded there: its broker's results are what whoever uploaded it watches. A relay that
-- publishes counts up; where one has stood still for a while, as another one sees it, the other one publishes its rows.
alter table outbox add relay text not null default 'relay';
alter table outbox_producer add beats bigint not null default 0;
