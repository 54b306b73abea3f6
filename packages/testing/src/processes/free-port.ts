import { systemRandom } from "@millrace/core";
import { createServer } from "node:net";

const attemptsMax = 1000;
/** A test asks for all its ports before anything listens on them. */
const given = new Set<number>();

/**
 * A port of this machine that nobody listens on now, that this process was not given before, and that
 * no outgoing connection is given: below 32768, where Linux's local ports begin. So it is still free
 * when what listened there starts anew.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const port = 20_000 + systemRandom.integer(12_000);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
  throw new Error(`none of ${attemptsMax} ports tried is free`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const listening = new Promise<boolean>((resolve) => {
    server.once("listening", () => resolve(true));
    server.once("error", () => resolve(false));
  });
  server.listen(port, "127.0.0.1");
  if (!(await listening)) return false;
  await new Promise((resolve) => server.close(resolve));
  return true;
}
