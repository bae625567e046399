"""Registry credentials."""

from __future__ import annotations

import attrs

from anydocker._wire.auth import auth_header

__all__ = ("Credentials",)


@attrs.frozen(kw_only=True)
class Credentials:
    """
    What proves to a registry who is asking: a user name with its password, or an identity token.

    Its ``repr`` shows no secret.

    Attributes:
        username: The user name.
        password: The password, or an access token that stands in for one.
        identity_token: A token from an earlier login, instead of user name and password.
        server: The registry, such as ``registry.example:5000``. Only needed where it differs from the image's.
    """

    username: str = ""
    password: str = attrs.field(default="", repr=False)
    identity_token: str = attrs.field(default="", repr=False)
    server: str = ""

    def __attrs_post_init__(self) -> None:
        if bool(self.identity_token) == bool(self.username):
            raise ValueError("credentials are a username with its password, or an identity_token")

    def document(self) -> dict[str, str]:
        """The engine's ``AuthConfig`` document, secrets and all."""
        document = {
            "username": self.username,
            "password": self.password,
            "identitytoken": self.identity_token,
            "serveraddress": self.server,
        }
        return {key: value for key, value in document.items() if value}

    def header(self) -> str:
        """The value of the ``X-Registry-Auth`` field."""
        return auth_header(self.document())
