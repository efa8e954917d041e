// The WebSocketManager of channels-websocket-utils, for pages that keep their script tag.
//
//     const manager = WebSocketManager("/kitchen/", token);
//     manager.addMessageListener("ready", (message) => console.log(message.dish));
//     manager.sendJSON({ type: "price", dish: "pie" }, (reply) => console.log(reply.price));

function WebSocketManager(path, token = null) {
  if (!new.target) return new WebSocketManager(path, token);

  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}${path}${token}`);
  const listeners = new Map();
  const replies = new Map();
  const waiting = []; // what was sent before the socket was open
  let count = 0;

  socket.addEventListener("open", () => waiting.splice(0).forEach((text) => socket.send(text)));
  socket.addEventListener("message", (event) => {
    const message = JSON.parse(event.data);
    const handler = replies.get(message.key) || listeners.get(message.key);
    if (message.status !== 206) replies.delete(message.key); // else a part, which others follow
    if (handler) handler(message);
    else console.warn(`WebSocketManager: nobody listens for ${JSON.stringify(message.key)}`);
  });

  this.socket = socket;

  // Sends a message; with a handler asks for a reply, which it is called with.
  this.sendJSON = (message, handler) => {
    const sent = { ...message };
    if (handler) {
      sent.reply_key = `reply-${++count}`;
      replies.set(sent.reply_key, handler);
    }
    const text = JSON.stringify(sent);
    if (socket.readyState === WebSocket.CONNECTING) waiting.push(text);
    else socket.send(text);
  };

  // Calls the function with every message of this key; a later one takes its place.
  this.addMessageListener = (key, listener) => {
    listeners.set(key, listener);
  };
}

if (typeof module !== "undefined") module.exports = WebSocketManager;
