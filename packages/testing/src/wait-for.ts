/** A condition holds in milliseconds; a machine with other work may take its time. */
const deadlineMsDefault = 30_000;

/** Waits until the condition holds; fails with `what` at the deadline. */
export async function waitFor(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = deadlineMsDefault,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${deadlineMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The promise, or an error that names what it was if it has not settled by the deadline. */
export async function within<T>(
  what: string,
  promise: Promise<T>,
  deadlineMs = deadlineMsDefault,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took over ${deadlineMs} ms`)), deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
