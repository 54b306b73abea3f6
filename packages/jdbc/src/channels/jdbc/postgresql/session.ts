import type { Clock, MillraceError } from "@millrace/core";
import { MillraceError as Failure } from "@millrace/core";
import { Client } from "pg";
import type { ConnectionSettings } from "./connection-settings.ts";
import { postgresqlError } from "./postgresql-errors.ts";

export type Row = Readonly<Record<string, string | null>>;
export type Value = string | number | null | Uint8Array;

export interface Statement {
  /** Statements with a name are prepared once a session. */
  readonly name?: string;
  readonly text: string;
  readonly values?: readonly Value[];
}

/** One connection. After the first error that is not the server's answer it is of no use. */
export interface Session {
  /** The server's process. */
  readonly pid: number;
  /** The rows, every column as text. Throws the server's error, or DATABASE_UNAVAILABLE. */
  query(statement: Statement): Promise<readonly Row[]>;
  /** Says goodbye. Never rejects. */
  end(): Promise<void>;
  destroy(): void;
}

const goodbyeMs = 1000;

/** `lost` is called once, unless the session was ended here. */
export async function connectSession(
  settings: ConnectionSettings,
  clock: Clock,
  lost: (error: MillraceError) => void,
): Promise<Session> {
  const { place, answerMs } = settings;
  const types = { getTypeParser: () => (text: string) => text };
  const client = new Client({ ...settings.client, types: types as never });
  let isOver = false;
  const over = (error: unknown): void => {
    if (isOver) return;
    isOver = true;
    client.connection.stream.destroy();
    lost(postgresqlError(error, place));
  };
  client.on("error", over);
  client.on("end", () => over(new Error("the connection has ended")));
  try {
    await client.connect();
  } catch (error) {
    isOver = true;
    client.connection.stream.destroy();
    throw error;
  }

  return {
    pid: Number((client as unknown as { processID: number }).processID),
    async query({ name, text, values }) {
      if (isOver) throw new Failure("DATABASE_UNAVAILABLE", `${place}: the connection is closed`);
      const timer = clock.setTimer(answerMs, () =>
        over(new Error(`no answer within ${answerMs} ms`)),
      );
      try {
        const config = { text, ...(name && { name }), ...(values && { values: [...values] }) };
        return (await client.query(config)).rows as Row[];
      } finally {
        timer.cancel();
      }
    },
    async end() {
      if (isOver) return;
      isOver = true;
      const timer = clock.setTimer(goodbyeMs, () => client.connection.stream.destroy());
      await client.end().catch(() => undefined);
      timer.cancel();
    },
    destroy() {
      isOver = true;
      client.connection.stream.destroy();
    },
  };
}
