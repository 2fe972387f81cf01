/** Answers as server-sent events, as OpenAI sends them: a JSON object per event, `[DONE]` at the end. */
import { toApiError } from "./errors.js";

const HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  // Without this nginx holds events back.
  "x-accel-buffering": "no",
};

/**
 * A response whose events are written by `write`. It begins with the first event, so that what fails before is an
 * error with a status of its own; what fails later is the last event.
 * @throws what `write` throws before its first event
 */
export function streamEvents(write: (send: (event: object) => void) => Promise<void>): Promise<Response> {
  const encoder = new TextEncoder();
  return new Promise((resolve, reject) => {
    let isBegun = false;
    let isOpen = true;
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({
      start(its) {
        controller = its;
      },
      cancel() {
        isOpen = false; // the client is gone
      },
    });
    const sendText = (text: string) => {
      if (!isBegun) resolve(new Response(body, { headers: HEADERS }));
      isBegun = true;
      if (isOpen) controller?.enqueue(encoder.encode(`data: ${text}\n\n`));
    };
    const send = (event: object) => sendText(JSON.stringify(event));
    write(send)
      .then(() => sendText("[DONE]"))
      .catch((error: unknown) => (isBegun ? send(toApiError(error)) : reject(error)))
      .finally(() => {
        if (isOpen && isBegun) controller?.close();
      });
  });
}
