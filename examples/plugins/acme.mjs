// Three components of Acme's own, for docs/plugins.md. `millrace check` reads their options like any
// other: each is a folder's index.ts of packages/components/src, written into one file.
import {
  choice,
  defineInterceptor,
  defineSink,
  defineSinkSelector,
  integer,
  MillraceError,
  text,
} from "@millrace/core";

/** Hides all but the last four digits of what looks like a card number. */
export const mask = defineInterceptor({
  type: "acme_mask",
  // Flume's name of the Java class it was ported from: with --plugins-path the old file still fits.
  aliases: ["com.acme.flume.MaskInterceptor$Builder"],
  summary: "Hides card numbers.",
  options: {
    with: text("with", "What each digit becomes.", { default: "*" }),
  },
  guarantee: { atLeastOnce: true },
  example: "",
  create: ({ with: mark }) => {
    const hide = (digits) => mark.repeat(digits.length - 4) + digits.slice(-4);
    return Promise.resolve((batch) =>
      batch.map(({ headers, body }) => {
        // latin1 keeps every byte as it is, whatever the charset.
        const masked = body.toString("latin1").replace(/\b\d{13,19}\b/g, hide);
        return { headers, body: Buffer.from(masked, "latin1") };
      }),
    );
  },
});

/** Posts each batch as lines; it is delivered when the server has said 2xx. */
export const sink = defineSink({
  type: "acme_http",
  aliases: ["com.acme.flume.HttpSink"],
  summary: "Posts the bodies of a batch as lines.",
  options: {
    url: text("url", "Where to.", { required: true }),
    batchSize: integer("batchSize", "Events in one request.", { default: 100, min: 1 }),
    timeoutMs: integer("timeout", "For one request.", { default: 10_000, min: 1, unit: "ms" }),
    method: choice("method", ["POST", "PUT"], "How.", { default: "POST" }),
  },
  guarantee: { atLeastOnce: true },
  example: "",
  check: ({ url }) =>
    URL.canParse(url) ? [] : [{ key: "url", message: `"${url}" is not a whole URL` }],
  batchSize: ({ batchSize }) => batchSize,
  create: ({ url, batchSize, timeoutMs, method }) =>
    Promise.resolve({
      batchSize,
      deliveriesInFlight: 1,
      start: () => Promise.resolve(),
      stop: () => Promise.resolve(),
      async deliver(batch, giveUp) {
        const lines = Array.from(batch, ({ body }) => `${body.toString("utf8")}\n`);
        const signal = AbortSignal.any([giveUp, AbortSignal.timeout(timeoutMs)]);
        // Whatever this throws is tried again, here or at the next member of the group.
        const answer = await fetch(url, { method, body: lines.join(""), signal });
        await answer.arrayBuffer();
        if (answer.ok) return;
        throw new MillraceError("SINK_WRITE_FAILED", `${url} answered ${answer.status}`);
      },
    }),
});

/** The same member of a group for events with the same value of a header, while it works. */
export const sticky = defineSinkSelector({
  type: "acme_sticky",
  aliases: ["com.acme.flume.StickySinkSelector"],
  summary: "Chooses the sink by a header of the batch's first event.",
  options: {
    header: text("header", "Whose value chooses.", { default: "host" }),
  },
  example: "",
  create: ({ header }) =>
    Promise.resolve((members, batch) => {
      const value = batch.length === 0 ? "" : (batch.at(0).headers.get(header) ?? "");
      let hash = 0;
      for (const letter of value) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
      const first = hash % members.length;
      return [...members.slice(first), ...members.slice(0, first)];
    }),
});
