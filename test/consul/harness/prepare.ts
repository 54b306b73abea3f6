/** Run before the suite: building may take longer than a test may. */
import { preparePrograms } from "../../harness/go-program.ts";
import { consulProgram } from "../../harness/go-programs.ts";

await preparePrograms([consulProgram]);
