select * from table
