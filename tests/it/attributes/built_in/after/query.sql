select id from table
