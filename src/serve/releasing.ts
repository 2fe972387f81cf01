/** When a request that was admitted is let go. */

/** Lets a request go when its response is made; that of a stream when it fails, or else when the stream ends. */
export async function releasedAfter(
  release: () => void,
  respond: () => Promise<Response>,
): Promise<Response> {
  let isStream = false;
  try {
    const response = await respond();
    isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
    return response;
  } finally {
    if (!isStream) {
      release();
    }
  }
}
