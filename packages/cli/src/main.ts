/** The program `millrace`. */
import { runProgram } from "./program.ts";

await runProgram("millrace", process.argv.slice(2));
