import { testDatabaseUrl } from '#test/database.ts';
import { testDatabase } from './database.contract.ts';

testDatabase(testDatabaseUrl === undefined ? 'SQLite' : 'Postgres');
