#!/usr/bin/env node
// The same program as millrace; lenient as Flume is, where millrace is strict.
import { runProgram } from "../dist/index.js";

await runProgram("flume-ng", process.argv.slice(2));
