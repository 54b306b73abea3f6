export {
  type ArrivalJudge,
  type ArrivalTotals,
  type ArrivalVerdict,
  createArrivalJudge,
  type Marks,
  type MissingLine,
} from "./arrival-judge.ts";
export {
  type Arrival,
  encodeNumberedLine,
  parseHeadedLine,
  parseNumberedLine,
} from "./arrival-lines.ts";
export { createLineTail, type LineTail } from "./line-tail.ts";
export { createOutputTail, type OutputTail } from "./output-tail.ts";
export { parsePositions } from "./positions.ts";
