"""Credentials from where the docker command line keeps them, against a real registry that asks for a password."""

from __future__ import annotations

from base64 import b64encode

import pytest

import anydocker
from anydocker import AuthError, Credentials, Docker, PushFailed
from anydocker.auth import find_all_credentials, find_credentials
from anydocker.testing import Registry
from tests.live.docker_home import DockerHome

pytestmark = [pytest.mark.anyio, pytest.mark.live]

USER, PASSWORD = "alice", "s3cret"


@pytest.fixture
async def private_image(docker: Docker, closed_registry: Registry) -> str:
    """An image in the registry that asks for a password."""
    name = f"{closed_registry.address}/private:1"
    await docker.images.image("busybox").tag(name)
    pushed = await docker.images.push(name, auth=Credentials(username=USER, password=PASSWORD))
    assert (pushed.digest or "").startswith("sha256:")
    await docker.images.image(name).remove()
    return name


def entry() -> dict[str, str]:
    return {"auth": b64encode(f"{USER}:{PASSWORD}".encode()).decode()}


async def pull(docker: Docker, name: str, auth: Credentials | None = None) -> None:
    image = await docker.images.pull(name, auth=auth)
    await docker.images.image(image.name or "").remove()


async def test_no_or_wrong_password(docker: Docker, home: DockerHome, private_image: str) -> None:
    for auth in (None, Credentials(username=USER, password="wrong")):
        with pytest.raises(
            anydocker.APIError, match="(?i)no basic auth credentials|unauthorized|authentication required"
        ):
            await docker.images.pull(private_image, auth=auth)
    await docker.images.image("busybox").tag(private_image)
    with pytest.raises(
        (PushFailed, anydocker.APIError), match="(?i)no basic auth credentials|unauthorized|authentication required"
    ) as caught:
        await docker.images.push(private_image, auth=Credentials(username=USER, password="wr0ng-secret"))
    assert "wr0ng-secret" not in f"{caught.value!r} {caught.value}"
    await docker.images.image(private_image).remove()


async def test_auths(docker: Docker, home: DockerHome, private_image: str) -> None:
    host = private_image.partition("/")[0]
    for key in (host, f"http://{host}/v1/"):
        home.configure(auths={key: entry()})
        await pull(docker, private_image)
    home.configure(auths={host: {"auth": b64encode(b"alice:wrong").decode()}})
    with pytest.raises(anydocker.APIError):
        await docker.images.pull(private_image)
    await pull(docker, private_image, Credentials(username=USER, password=PASSWORD))


async def test_helpers(docker: Docker, home: DockerHome, private_image: str) -> None:
    host = private_image.partition("/")[0]
    home.install_helper({host: (USER, PASSWORD)})
    for config in ({"credsStore": "test"}, {"credHelpers": {host: "test"}, "credsStore": "absent"}):
        home.configure(**config)
        await pull(docker, private_image)
    assert set(home.log.read_text().splitlines()) == {f"get {host}"}


async def test_build_from_a_private_base(docker: Docker, home: DockerHome, private_image: str) -> None:
    host = private_image.partition("/")[0]
    text = f"FROM {private_image}\nCMD true"
    with pytest.raises(
        anydocker.DockerError, match="(?i)no basic auth credentials|unauthorized|authentication required"
    ):
        await docker.images.build(dockerfile_text=text)
    home.configure(auths={host: entry()})
    image = await docker.images.build(dockerfile_text=text)
    await image.remove()
    await docker.images.image(private_image).remove()


async def test_login(docker: Docker, closed_registry: Registry) -> None:
    good = await docker.login(closed_registry.address, username=USER, password=PASSWORD)
    assert good == Credentials(username=USER, password=PASSWORD, server=closed_registry.address)
    with pytest.raises(anydocker.APIError) as caught:
        await docker.login(closed_registry.address, username=USER, password="wr0ng-secret")
    assert "wr0ng-secret" not in str(caught.value)


async def test_distribution(docker: Docker, home: DockerHome, private_image: str) -> None:
    with pytest.raises(anydocker.APIError):
        await docker.distribution.inspect(private_image)
    found = await docker.distribution.inspect(private_image, auth=Credentials(username=USER, password=PASSWORD))
    assert found["Descriptor"]["digest"].startswith("sha256:")


async def test_identity_token_and_docker_hub(home: DockerHome) -> None:
    hub = "https://index.docker.io/v1/"
    home.install_helper({hub: ("<token>", "a-token")})
    home.configure(credsStore="test")
    token = Credentials(identity_token="a-token", server=hub)
    for name in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        assert await find_credentials(name) == token
    home.configure(auths={hub: {"auth": b64encode(b"me:a:b").decode(), "identitytoken": "t"}})
    found = await find_credentials("docker.io")
    assert found == Credentials(username="me", password="a:b", identity_token="t", server=hub)
    assert await find_all_credentials() == {hub: found}
    assert "a:b" not in repr(found)


async def test_nothing_configured(home: DockerHome) -> None:
    assert await find_credentials("registry.example") is None
    home.configure(auths={"registry.example": {}})
    assert await find_credentials("registry.example") is None
    home.install_helper({})
    home.configure(credsStore="test")
    assert await find_credentials("registry.example") is None


async def test_what_went_wrong(home: DockerHome) -> None:
    home.configure(credsStore="absent")
    with pytest.raises(AuthError, match=r"docker-credential-absent, .* registry\.example .*cannot be run"):
        await find_credentials("registry.example")
    home.install_helper({})
    home.configure(credHelpers={"broken.example": "test"})
    with pytest.raises(AuthError, match=r"failed for broken\.example: the keychain is locked"):
        await find_credentials("broken.example")
    home.configure(auths={"registry.example": {"auth": "s3cret"}})
    with pytest.raises(AuthError, match=r"entry for registry\.example") as caught:
        await find_credentials("registry.example")
    assert "s3cret" not in str(caught.value)
    for content in ("{s3cret", "[]"):
        (home.directory / "config.json").write_text(content)
        with pytest.raises(AuthError, match=r"config\.json cannot be read") as caught:
            await find_credentials("registry.example")
        assert "s3cret" not in str(caught.value)
