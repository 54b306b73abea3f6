import type { Clock, Log, LogDetail } from "@millrace/core";
import type { Writable } from "node:stream";
import { createLogger, format, transports } from "winston";
import { createRepeatFolder } from "./fold-repeats.ts";
import { formatLine } from "./format-line.ts";
import type { LogLevel } from "./log-settings.ts";

/** The agent's log: one line a state change, with the name of the component it is of. */
export interface AgentLog {
  /** Lines of one component. */
  of(component: string): Log;
  /** Writes what is held back. Idempotent. Lines logged afterwards are lost. */
  close(): Promise<void>;
}

export interface AgentLogOptions {
  readonly level: LogLevel;
  readonly clock: Clock;
  /** Standard error when not given. */
  readonly stream?: Writable;
}

const levelOrder = { error: 0, warn: 1, info: 2, debug: 3 };
const foldMs = 30_000;

/**
 * Writes through winston. A warning or error that a component repeats within 30 seconds, whatever
 * its details, is written once more at the end of that time with how often it came. Information is
 * never folded: the logger sink's events are such lines.
 */
export function createAgentLog({
  level,
  clock,
  stream = process.stderr,
}: AgentLogOptions): AgentLog {
  const logger = createLogger({
    level,
    levels: levelOrder,
    format: format.printf(({ message }) => String(message)),
    transports: [new transports.Stream({ stream })],
  });
  const folder = createRepeatFolder(clock, foldMs);
  let closed: Promise<void> | undefined;

  const write = (at: LogLevel, component: string, message: string, detail: LogDetail): void => {
    logger.log(at, formatLine(clock.now(), at, component, message, detail));
  };
  const fold = (at: LogLevel, component: string, message: string, detail: LogDetail): void => {
    if (levelOrder[at] > levelOrder[level]) return;
    folder.add(`${at} ${component} ${withoutAmounts(message)}`, (repeats) => {
      const text = repeats === 0 ? message : `${message} (repeated ${repeats} times)`;
      write(at, component, text, detail);
    });
  };

  return {
    of: (component) => ({
      error: (message, detail = {}) => fold("error", component, message, detail),
      warn: (message, detail = {}) => fold("warn", component, message, detail),
      info: (message, detail = {}) => {
        if (levelOrder.info <= levelOrder[level]) write("info", component, message, detail);
      },
      debug: (message, detail = {}) => {
        if (levelOrder.debug <= levelOrder[level]) write("debug", component, message, detail);
      },
    }),
    close() {
      closed ??= new Promise((resolve) => {
        folder.flush();
        logger.once("finish", resolve);
        logger.end();
      });
      return closed;
    },
  };
}

/** How long and how many differs each time that a member fails again; it is the same news. */
const amounts = /\b\d[\d,.]*(?= (?:s|ms|events?|bytes)\b)|(?<=batch of )\d[\d,]*/g;

function withoutAmounts(message: string): string {
  return message.replace(amounts, "#");
}
