from __future__ import annotations

import pytest

from shoplens.catalog.milvus.address import Address
from shoplens.errors import CatalogError


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("milvus://localhost/shop", Address("localhost", 19530, "", "shop", None)),
        ("milvus://10.0.0.1:7/shop/", Address("10.0.0.1", 7, "", "shop", None)),
        ("milvus://h/base/shop", Address("h", 19530, "base", "shop", None)),
        ("milvus://h/shop?index=flat", Address("h", 19530, "", "shop", "flat")),
        ("milvus://[::1]:7/_a1", Address("::1", 7, "", "_a1", None)),
    ],
)
def test_addresses(uri: str, expected: Address) -> None:
    assert Address.parse(uri) == expected


def test_the_server_of_an_address() -> None:
    assert Address.parse("milvus://h:7/shop").endpoint == "http://h:7"
    assert Address.parse("milvus://[::1]:7/shop").endpoint == "http://[::1]:7"


@pytest.mark.parametrize(
    "uri",
    [
        "milvus://",
        "milvus:///shop",
        "milvus://h",
        "milvus://h/",
        "milvus://h/1shop",
        "milvus://h/my-shop",
        "milvus://h/a/b/c",
        "milvus://h:port/shop",
        "milvus://h:99999/shop",
        "milvus://[h/shop",
        "milvus://h/shop?speed=high",
        "milvus://h/shop#part",
        "milvus://h/" + "x" * 256,
    ],
)
def test_what_is_no_address(uri: str) -> None:
    with pytest.raises(CatalogError, match="milvus://h"):
        Address.parse(uri)


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(CatalogError, match="SHOPLENS_MILVUS_TOKEN") as raised:
        Address.parse("milvus://root:secret@h/shop")
    assert "secret" not in str(raised.value)
