import { suite } from './lib/suite.mjs';

suite('5.3.2');
