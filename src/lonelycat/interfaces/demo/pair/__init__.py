"""The demonstration with real services: a web service, PostgreSQL and Redis under supervisord, in one directory."""
