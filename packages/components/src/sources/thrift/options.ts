import { boolean, ignored, integer, type OptionsOf, text } from "@millrace/core";
import { readProtocol } from "@millrace/rpc/thrift";
import { limitOptions } from "../../rpc/limit-options.ts";
import { checkRegistration, registrationOptions } from "../../rpc/registration-options.ts";
import {
  checkServerTransport,
  ipFilterOptions,
  serverTlsOptions,
} from "../../rpc/server-transport-options.ts";
import type { OptionCheck, SystemProperties } from "../../rpc/tls-options.ts";

const whenKerberos = "Read only when kerberos is true.";

export const options = {
  bind: text("bind", "Address or name of this machine to listen on; 0.0.0.0 for all.", {
    required: true,
  }),
  port: integer("port", "Port to listen on; 0 lets the system choose one, which is logged.", {
    required: true,
    max: 65_535,
  }),
  protocol: text(
    "protocol",
    "compact or binary; must be what the senders have. As in Flume any other case of binary means compact.",
    { default: "compact" },
  ),
  ...limitOptions,
  ...serverTlsOptions,
  ...ipFilterOptions,
  ...registrationOptions,
  kerberos: boolean("kerberos", "Kerberos is not supported: only false.", { default: false }),
  agentPrincipal: ignored("agent-principal", whenKerberos),
  agentKeytab: ignored("agent-keytab", whenKerberos),
  threads: ignored("threads", "One event loop serves all connections."),
};

export type Options = OptionsOf<typeof options>;

/** What no single option shows. */
export function checkOptions(
  values: Options,
  systemProperties: SystemProperties = new Map(),
): readonly OptionCheck[] {
  const { protocol, kerberos } = values;
  const problems: OptionCheck[] = [
    ...checkServerTransport(values, systemProperties),
    ...checkRegistration(values),
  ];
  if (readProtocol(protocol).protocol === undefined) {
    problems.push({ key: "protocol", message: `"${protocol}" is not compact or binary` });
  }
  if (kerberos) {
    const message =
      "kerberos = true is not supported: Kerberos is not spoken here; use ssl with clientAuth = required";
    problems.push({ key: "kerberos", message });
  }
  return problems;
}
