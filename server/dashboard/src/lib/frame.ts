// Work that is to be done once per frame, however often it is asked for.

/** Returns a way to ask for `work`, and one to take back what was asked. */
export function oncePerFrame(work: () => void) {
  let frame: number | undefined;
  const ask = () => {
    frame ??= requestAnimationFrame(() => {
      frame = undefined;
      work();
    });
  };
  const cancel = () => {
    if (frame !== undefined) cancelAnimationFrame(frame);
    frame = undefined;
  };
  return { ask, cancel };
}
