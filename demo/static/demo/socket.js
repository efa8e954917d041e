// The socket at the page's own URL. It comes back by itself when the connection is lost.

const connection = document.getElementById("connection");
const alert = document.getElementById("alert");

/** Hands events to the function of their type; returns `ask(type, fields)`, a promise of the answer. */
export function open(events, onOpen = () => {}) {
  const waiting = new Map();
  let socket, ref = 0, delay = 500, leaving = false;

  function connect() {
    socket = new WebSocket(location.origin.replace(/^http/, "ws") + location.pathname);
    socket.onopen = () => { delay = 500; setState(true, "Live"); onOpen(); send({ type: "HELLO" }); };
    socket.onmessage = ({ data }) => receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => {
      for (const { reject } of waiting.values()) reject(new Error("The connection was lost. Try again."));
      waiting.clear();
      if (code >= 4400 && code < 4500) return setState(false, reason || "Closed");
      setState(false, "Reconnecting …");
      setTimeout(connect, delay * (0.5 + Math.random()));
      delay = Math.min(2 * delay, 8000);
    };
  }

  function send(message) {
    socket.send(JSON.stringify(message));
  }

  function receive(frame) {
    const answered = waiting.get(frame.ref);
    if (answered) {
      waiting.delete(frame.ref);
      if (frame.type === "ERROR") answered.reject(new Error(frame.errors.map(({ text }) => text).join(" ")));
      else answered.resolve(frame.data);
    } else if (frame.type === "PING") send({ type: "PING" });
    else if (frame.type === "GOT_HELLO") checkUser(frame.user_id);
    else if (frame.type === "RECONNECT") reload();
    else if (frame.type === "ERROR") show(new Error(frame.details));
    else events[frame.type]?.(frame);
  }

  /** The page is another user's when somebody came in or left in another tab. */
  function checkUser(id) {
    if (String(id ?? "") !== document.body.dataset.user) reload();
  }

  /** Loads the page again, but never as fast as it can. */
  function reload() {
    setTimeout(() => { if (!leaving) location.reload(); }, 2000 - performance.now());
  }

  addEventListener("beforeunload", () => { leaving = true; });
  connect();
  return (type, fields = {}) => new Promise((resolve, reject) => {
    if (socket.readyState !== WebSocket.OPEN) return reject(new Error("Not connected. Wait a moment."));
    waiting.set(++ref, { resolve, reject });
    send({ ...fields, type, ref });
  });
}

/** Tells what went wrong, for a while. */
export function show(error) {
  alert.textContent = error.message;
  alert.hidden = false;
  clearTimeout(show.timer);
  show.timer = setTimeout(() => { alert.hidden = true; }, 5000);
}

function setState(live, text) {
  connection.textContent = text;
  connection.classList.toggle("live", live);
}
