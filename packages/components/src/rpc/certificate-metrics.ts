import type { Clock, Counter, Log, Metrics, Runtime } from "@millrace/core";
import {
  type ClientTls,
  createClientContext,
  createServerContext,
  type Expiries,
  type Reloading,
  type ServerTls,
  type TlsRuntime,
} from "@millrace/rpc";

interface Given {
  readonly metrics: Metrics;
  readonly runtime: Runtime;
  readonly log: Log;
}

/** What a source's TLS is made of, with when it ends on the monitoring port. */
export function watchServerCertificates(
  tls: ServerTls,
  given: Given,
): ReturnType<typeof createServerContext> {
  const context = createServerContext(tls, tlsRuntime(given));
  declareExpiries(given, "server", context);
  return context;
}

/** The same for a sink, whose connections find it by the store objects of `tls`. */
export function watchClientCertificates(tls: ClientTls, given: Given): void {
  const { keystore, truststore } = tls;
  if (keystore === undefined && truststore === undefined) return;
  declareExpiries(given, "client", createClientContext(tls, tlsRuntime(given)));
}

function tlsRuntime({ metrics, runtime, log }: Given): TlsRuntime {
  const { files, clock } = runtime;
  const rejected: Counter = metrics.counter(
    "millrace_tls_reload_failures_total",
    "Changes of certificate files that could not be used; what was there before stays in use.",
  );
  return { files, clock, log, rejected: () => void rejected.value++ };
}

/**
 * Certificates are looked at when a connection is made, and here when they are asked for: a sink
 * with one connection for days reads a renewed one all the same.
 */
function declareExpiries(
  { metrics, runtime: { clock } }: Given,
  use: "server" | "client",
  context: Reloading<{ readonly expiries: Expiries }>,
): void {
  const left = (which: keyof Expiries) => (): number | undefined => {
    // What is wrong with the files is said where a connection needs them.
    context.current().catch(() => {});
    return secondsUntil(context.peek()?.expiries[which], clock);
  };
  const help = "Time until the certificate that is in use ends; of `ca` the one that ends last.";
  const name = "millrace_tls_certificate_expiry_seconds";
  metrics.gauge(name, help, left("ownAtMs"), { use });
  metrics.gauge(name, help, left("authorityAtMs"), { use: "ca" });
}

function secondsUntil(atMs: number | undefined, clock: Clock): number | undefined {
  return atMs === undefined ? undefined : (atMs - clock.now()) / 1000;
}
