/** Run before the suite: building may take longer than a test may. */
import { preparePrograms } from "../../harness/go-program.ts";
import { helmProgram } from "../../harness/go-programs.ts";

await preparePrograms([helmProgram]);
