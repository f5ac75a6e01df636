import { suite } from './lib/suite.mjs';

suite('6.4.3');
