import type { Event } from "@millrace/core";

/** An event as one line of JSON may have it: the body as text where it is text. */
export function eventFields({ headers, body }: Event): {
  headers: Record<string, string>;
  body?: string;
  base64?: string;
} {
  const named = { headers: Object.fromEntries(headers) };
  const text = body.toString("utf8");
  return isText(text, body)
    ? { ...named, body: text }
    : { ...named, base64: body.toString("base64") };
}

function isText(text: string, body: Buffer): boolean {
  return !/[\u0000-\u0008\u000e-\u001f\u007f]/.test(text) && Buffer.from(text).equals(body);
}
