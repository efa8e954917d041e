"""Django's own async tests with a plain communicator."""

from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.db import transaction
from django.test import TestCase

from sockets import SocketRouter

router = SocketRouter()


@router.route("SYNC")
def on_sync(socket):
    with transaction.atomic():
        return list(User.objects.values_list("username", flat=True))


@router.route("ASYNC")
async def on_async(socket):
    return [user.username async for user in User.objects.all()]


@router.route("BESIDE", concurrent=True)
async def on_beside(socket):
    return await User.objects.acount()


@router.route("ASK")
def on_ask(socket):
    return socket.call("NAME")


@router.route("CREATE")
def on_create(socket, *, name: str):
    return User.objects.create(username=name).pk


class OwnRowsTests(TestCase):
    """Handlers see the rows of the test's transaction, which is rolled back after it."""

    @classmethod
    def setUpTestData(cls):
        User.objects.create(username="ann")

    async def ask(self, client, message):
        await client.send_json_to(message)
        return (await client.receive_json_from())["data"]

    async def connect(self):
        client = WebsocketCommunicator(router.Handler.as_asgi(), "/")
        self.assertEqual(await client.connect(), (True, None))
        return client

    async def test_handlers_of_every_kind_see_the_rows(self):
        client = await self.connect()
        self.assertEqual(await self.ask(client, {"type": "SYNC", "ref": 1}), ["ann"])
        self.assertEqual(await self.ask(client, {"type": "ASYNC", "ref": 1}), ["ann"])
        self.assertEqual(await self.ask(client, {"type": "BESIDE", "ref": 1}), 1)
        await client.disconnect()

    async def test_the_test_sees_the_rows_of_handlers(self):
        client = await self.connect()
        pk = await self.ask(client, {"type": "CREATE", "ref": 1, "name": "bob"})
        self.assertEqual((await User.objects.aget(pk=pk)).username, "bob")
        await client.disconnect()

    async def test_rows_of_other_tests_are_gone(self):
        self.assertEqual(await User.objects.acount(), 1)

    async def test_a_thread_may_call_the_client(self):
        client = await self.connect()
        await client.send_json_to({"type": "ASK", "ref": 1})
        question = await client.receive_json_from()
        await client.send_json_to({"type": "NAME", "ref": question["ref"], "data": "ann"})
        self.assertEqual((await client.receive_json_from())["data"], "ann")
        await client.disconnect()
