/** Answers as server-sent events: a JSON object per event, and comments while there is none. */
import { type ApiError, toApiError } from "./errors.js";

const headers = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  // Without this nginx holds events back.
  "x-accel-buffering": "no",
};

/** How long a stream is silent at most: clients and proxies give up on silent connections. */
const silenceMs = 5000;

/** How events look, which the APIs do not agree on. */
export interface EventStyle {
  /** The event's text; its `type` is also named before it if `named`. */
  readonly isNamed: boolean;
  /** What ends the stream, if anything does. */
  readonly last?: string | undefined;
  readonly errorEvent: (error: ApiError) => object;
}

/** As OpenAI's chat and plain completions have them. */
export const plainEvents: EventStyle = {
  isNamed: false,
  last: "[DONE]",
  errorEvent: (error) => error.toJSON(),
};

export type Send = (event: object) => void;

/**
 * A response whose events are written by `write`. Its headers are sent at once; what fails later is the last event.
 * @param end is called when nothing more is written
 */
export function streamEvents(
  write: (send: Send) => Promise<void>,
  { style = plainEvents, end = () => {} }: { style?: EventStyle; end?: () => void } = {},
): Response {
  const encoder = new TextEncoder();
  let isOpen = true;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const sendText = (text: string) => {
        if (isOpen) {
          controller.enqueue(encoder.encode(text));
        }
        silence.refresh();
      };
      const silence = setInterval(() => sendText(": waiting\n\n"), silenceMs);
      const send = (event: object) => {
        const name = style.isNamed && "type" in event ? `event: ${event.type}\n` : "";
        sendText(`${name}data: ${JSON.stringify(event)}\n\n`);
      };
      sendText(": begin\n\n"); // the headers go out with the first bytes
      write(send)
        .then(() => {
          if (style.last !== undefined) {
            sendText(`data: ${style.last}\n\n`);
          }
        })
        .catch((error: unknown) => send(style.errorEvent(toApiError(error))))
        .finally(() => {
          clearInterval(silence);
          end();
          if (isOpen) {
            controller.close();
          }
        });
    },
    cancel() {
      isOpen = false; // the client is gone
    },
  });
  return new Response(body, { headers });
}
