import { suite } from './lib/suite.mjs';

suite('5.4.5');
