/** Names are compared in core, as addresses of hosts need it too. */
export { didYouMean, foldName, nearestName } from "@millrace/core";
