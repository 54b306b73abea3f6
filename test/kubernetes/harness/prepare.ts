/** Run before the suite: building may take longer than a test may. */
import { preparePrograms } from "../../harness/go-program.ts";
import { clusterPrograms } from "./programs.ts";

await preparePrograms(clusterPrograms);
