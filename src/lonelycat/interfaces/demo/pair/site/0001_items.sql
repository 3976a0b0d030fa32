-- up
create table items (id integer primary key, name text not null, price integer not null);
insert into items values (1, 'fish', 3), (2, 'milk', 2), (3, 'catnip', 5);
-- down
drop table items;
