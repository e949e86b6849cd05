-- SQLite: inserts, indexes, joins, grouping, sorting, text functions, updates and a rollback, all in memory.
create table word(id integer primary key, text text, weight integer, kind integer);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 10000)
insert into word select i, 'w' || ((i * 7919) % 20011) || hex(i * 31), (i * 104729) % 10007, i % 17 from n;
create index word_weight on word(weight);
create index word_text on word(text);
create table kind(id integer primary key, name text);
insert into kind select distinct kind, 'kind ' || kind from word;
select count(*), sum(weight), max(text), min(length(text)) from word;
select k.name, count(*), avg(w.weight), max(w.text) from word w join kind k on k.id = w.kind group by k.name order by k.name;
select substr(text, 1, 3) as start, count(*) as c from word group by start order by c desc, start limit 20;
select a.text, b.text from word a join word b on a.weight = b.weight and a.id < b.id order by a.id, b.id limit 40;
begin;
update word set weight = weight + 1, text = upper(text) where kind in (3, 5, 7);
delete from word where weight % 5 = 0;
select count(*), sum(weight), max(text) from word;
rollback;
select text from word where text like '%9A%' order by weight desc, text limit 30;
select sum(length(replace(text, '1', 'one'))) from word;
with recursive fibonacci(n, a, b) as (select 1, 0, 1 union all select n + 1, b, (a + b) % 1000007 from fibonacci where n < 10000) select max(a), sum(b) from fibonacci;
