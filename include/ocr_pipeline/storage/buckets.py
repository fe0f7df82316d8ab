"""Opening object stores with the credentials that the deployment gives."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ocr_pipeline.errors import SettingsError
from ocr_pipeline.settings.addresses import shown_address
from ocr_pipeline.settings.deployment import Allowances, AllowedStore, Connection, ObjectUri

if TYPE_CHECKING:
    from obstore.store import GCSConfig, GCSStore, S3Config, S3Credential, S3Store

    Bucket = S3Store | GCSStore
    """A bucket, as obstore's functions take it."""

_CONNECT_TIMEOUT = timedelta(seconds=10)

# Extras of an AWS connection that say who we are in a way that only boto understands.
_AWS_IDENTITIES = ("role_arn", "profile_name", "assume_role_method", "assume_role_with_saml", "session_kwargs")
# Where obstore looks for the endpoint; plain HTTP must be asked for besides.
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_GOOGLE_PREFIX = "extra__google_cloud_platform__"


def find_store(uri: str, allowances: Allowances) -> tuple[AllowedStore, ObjectUri]:
    """The allowed store of ``uri``, and ``uri`` taken apart.

    :raises SettingsError: when it is not the URI of an object store, or not allowed.
    """
    try:
        address = ObjectUri.parse(uri)
    except ValueError as error:
        raise SettingsError(f"{shown_address(uri)!r} cannot be used: {error}") from None
    store = allowances.store(address)
    if store is None:
        raise SettingsError(
            f"{address} is not allowed here: add {address.scheme}://{address.bucket}, or "
            f"{address.scheme}://CONNECTION@{address.bucket} with the connection that opens it, "
            "to the Airflow variable ocr_allow"
        )
    return store, address


def open_bucket(store: AllowedStore, *, retries: int, timeout: float) -> Bucket:
    """The bucket of ``store``; keys are given in full, from the bucket's root. Thread-safe.

    :param retries: how often a request that failed for a transient reason is repeated, all within ``timeout``.
    :param timeout: seconds that one request may take, its body included.
    :raises SettingsError: when its connection cannot be used.
    """
    options: dict[str, Any] = {
        "client_options": {"timeout": timedelta(seconds=timeout), "connect_timeout": _CONNECT_TIMEOUT},
        # What failed at once is repeated, after pauses of tenths of a second; what took long is for the caller.
        "retry_config": {"max_retries": retries, "retry_timeout": timedelta(seconds=timeout / 2)},
    }
    if store.scheme == "s3":
        return _open_s3(store, options)
    return _open_google(store, options)


def _open_s3(store: AllowedStore, options: dict[str, Any]) -> S3Store:
    from obstore.store import S3Store

    if store.connection is None:
        endpoint = next((os.environ[name] for name in _ENDPOINT_VARIABLES if name in os.environ), "")
        options["client_options"]["allow_http"] = endpoint.startswith("http://")
        return S3Store(store.bucket, **options)
    connection = store.connection
    extra = connection.extra
    unusable = [name for name in _AWS_IDENTITIES if extra.get(name)]
    if unusable or not connection.serves("aws"):
        reason = (
            f"{', '.join(unusable)} in its extra is not supported" if unusable else "it must be of type aws or generic"
        )
        raise SettingsError(
            f"connection {connection.id!r} cannot open s3://{store.bucket}: {reason}. Give it an access key, "
            f"or allow s3://{store.bucket} without a connection to use the machine's own role"
        )
    config: S3Config = {}
    if region := extra.get("region_name"):
        config["region"] = region
    service: Mapping[str, Any] = (extra.get("service_config") or {}).get("s3") or {}
    if named := service.get("endpoint_url") or extra.get("endpoint_url"):
        config["endpoint"] = named
        options["client_options"]["allow_http"] = named.startswith("http://")
    key = connection.login or extra.get("aws_access_key_id")
    secret = connection.password or extra.get("aws_secret_access_key")
    if not key:
        return S3Store(store.bucket, config=config, **options)
    # Given as a whole, so that nothing of the environment's credentials mixes with them.
    credential: S3Credential = {
        "access_key_id": key,
        "secret_access_key": secret or "",
        "token": extra.get("aws_session_token"),
        "expires_at": None,
    }
    return S3Store(store.bucket, config=config, credential_provider=lambda: credential, **options)


def _open_google(store: AllowedStore, options: dict[str, Any]) -> GCSStore:
    from obstore.store import GCSStore

    config: GCSConfig = {}
    if store.connection is not None:
        key = _google_key(store.connection, store.bucket)
        path = _google_extra(store.connection, "key_path")
        if key is not None:
            config["service_account_key"] = json.dumps(key)
            base = key.get("gcs_base_url", "")
            options["client_options"]["allow_http"] = str(base).startswith("http://")
        elif path:
            config["service_account"] = path
    return GCSStore(store.bucket, config=config, **options)


def _google_key(connection: Connection, bucket: str) -> Mapping[str, Any] | None:
    if not connection.serves("google_cloud_platform"):
        raise SettingsError(
            f"connection {connection.id!r} cannot open gs://{bucket}: "
            "it must be of type google_cloud_platform or generic"
        )
    key = _google_extra(connection, "keyfile_dict")
    if not key:
        return None
    try:
        parsed = json.loads(key) if isinstance(key, str) else key
    except ValueError:
        parsed = None
    if not isinstance(parsed, Mapping):
        raise SettingsError(f"connection {connection.id!r}: keyfile_dict is not the JSON of a service account's key")
    return parsed


def _google_extra(connection: Connection, name: str) -> Any:
    return connection.extra.get(name) or connection.extra.get(_GOOGLE_PREFIX + name)
