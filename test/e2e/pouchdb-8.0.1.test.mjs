import { suite } from './lib/suite.mjs';

suite('8.0.1');
