import { suite } from './lib/suite.mjs';

suite('9.0.0');
