// Has a page's WebSocketManager do what the test of it reads here, and tells what came of it.
//
//     node websocket_manager.js SCRIPT URL TOKEN COOKIE

const { WebSocket } = require("ws");

const [script, url, token, cookie] = process.argv.slice(2);
const page = new URL(url);

globalThis.location = { protocol: page.protocol, host: page.host };
globalThis.WebSocket = class extends WebSocket {
  constructor(address) {
    super(address, { headers: { Cookie: cookie } });
  }
};
const WebSocketManager = require(script);

const told = { replies: [], ready: [], warnings: [], sent: [] };
console.warn = (text) => told.warnings.push(text);

const manager = WebSocketManager(page.pathname, token);
told.isManager = manager instanceof WebSocketManager;
told.address = manager.socket.url;
const send = manager.socket.send.bind(manager.socket);
manager.socket.send = (text) => {
  told.sent.push(JSON.parse(text));
  send(text);
};

manager.sendJSON({ type: "price", dish: "pie" }, (reply) => told.replies.push(reply)); // early
manager.sendJSON({ type: "cook", dish: "soup" }); // whose push nobody listens for
manager.socket.addEventListener("open", () => {
  manager.addMessageListener("cooked", () => {});
  manager.sendJSON({ type: "price", dish: "cake" }, (reply) => {
    told.replies.push(reply);
    manager.addMessageListener("ready", (message) => {
      told.ready.push(message);
      process.stdout.write(JSON.stringify(told));
      process.exit();
    });
    manager.sendJSON({ type: "cook", dish: "pie" });
  });
});
