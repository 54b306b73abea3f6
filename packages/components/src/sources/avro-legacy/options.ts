import { integer, type OptionsOf, text } from "@millrace/core";
import { limitOptions } from "../../rpc/limit-options.ts";
import { checkIpFilter, ipFilterOptions } from "../../rpc/server-transport-options.ts";
import type { OptionCheck } from "../../rpc/tls-options.ts";

export const options = {
  host: text("host", "Address or name of this machine to listen on; 0.0.0.0 for all.", {
    required: true,
  }),
  port: integer("port", "Port to listen on; 0 lets the system choose one, which is logged.", {
    required: true,
    max: 65_535,
  }),
  ...limitOptions,
  requestsInFlight: integer(
    "requestsInFlight",
    "Requests of one connection that are in progress; one more is answered 503.",
    { default: 4, min: 1, max: 1024 },
  ),
  ...ipFilterOptions,
};

export type Options = OptionsOf<typeof options>;

/** What no single option shows. */
export function checkOptions(values: Options): readonly OptionCheck[] {
  return checkIpFilter(values);
}
