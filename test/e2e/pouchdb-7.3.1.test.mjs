import { suite } from './lib/suite.mjs';

suite('7.3.1');
