"""The emulated cloud, as dstack's server sees it: a backend of the type `aws`.

Everything is asked of the world's process over its control API, so that instances and capacity
outlive a restart of the server. Runs inside the server, in its worker threads.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import requests
from dstack._internal.core.backends.aws.models import (
    AWSBackendConfig,
    AWSBackendConfigWithCreds,
    AWSConfig,
    AWSCreds,
    AWSStoredConfig,
)
from dstack._internal.core.backends.base.backend import Backend
from dstack._internal.core.backends.base.compute import (
    Compute,
    ComputeWithCreateInstanceSupport,
    ComputeWithGatewaySupport,
    ComputeWithInstanceVolumesSupport,
    ComputeWithMultinodeSupport,
    ComputeWithPlacementGroupSupport,
    ComputeWithPrivilegedSupport,
    ComputeWithReservationSupport,
)
from dstack._internal.core.backends.base.configurator import (
    BackendRecord,
    Configurator,
    StoredBackendRecord,
)
from dstack._internal.core.backends.base.offers import filter_offers_by_requirements
from dstack._internal.core.errors import ComputeError, NoCapacityError, ProvisioningError
from dstack._internal.core.models.backends.base import BackendType
from dstack._internal.core.models.common import validate_extra_ignore, validate_json_extra_ignore
from dstack._internal.core.models.gateways import (
    GatewayReplicaConfiguration,
    GatewayReplicaProvisioningData,
)
from dstack._internal.core.models.instances import (
    Disk,
    Gpu,
    InstanceAvailability,
    InstanceConfiguration,
    InstanceOffer,
    InstanceOfferWithAvailability,
    InstanceType,
    Resources,
)
from dstack._internal.core.models.placement import PlacementGroup, PlacementGroupProvisioningData
from dstack._internal.core.models.runs import JobProvisioningData, Requirements

from dstack_simulator.folder import CONTROL_TOKEN_VARIABLE, CONTROL_URL_VARIABLE

#: Seconds to wait for the world's process, which answers from memory.
_TIMEOUT = 30
#: The tag of a stored configuration that names its project.
_PROJECT_TAG = "simulator-project"


class EmulatedCompute(
    ComputeWithCreateInstanceSupport,
    ComputeWithPrivilegedSupport,
    ComputeWithInstanceVolumesSupport,
    ComputeWithMultinodeSupport,
    ComputeWithReservationSupport,
    ComputeWithPlacementGroupSupport,
    ComputeWithGatewaySupport,
    Compute,
):
    """Passes what the server wants of a cloud on to the world's process."""

    def __init__(self, project: str) -> None:
        self._url = f"{os.environ[CONTROL_URL_VARIABLE]}/{project}"
        self._headers = {"Authorization": f"Bearer {os.environ[CONTROL_TOKEN_VARIABLE]}"}

    def get_offers(
        self, requirements: Requirements, full_offers: bool, unallocated_resources: bool
    ) -> Iterator[InstanceOfferWithAvailability]:
        """Offers of every region, the cheapest first, as dstack's merging expects."""
        answer = self._ask("offers", {"reservation": requirements.reservation})
        offers = [_offer(item) for item in answer["offers"]]
        return filter_offers_by_requirements(offers, requirements)

    def create_instance(
        self,
        instance_offer: InstanceOfferWithAvailability,
        instance_config: InstanceConfiguration,
        placement_group: PlacementGroup | None,
    ) -> JobProvisioningData:
        """Asks for an instance, whose address is only known some time later."""
        instance = instance_offer.instance
        answer = self._ask(
            "create",
            {
                "instance_type": instance.name,
                "region": instance_offer.region,
                "zones": instance_offer.availability_zones,
                "spot": instance.resources.spot,
                "reservation": instance_config.reservation,
                "authorized_keys": instance_config.get_public_keys(),
            },
        )
        if "no_capacity" in answer:
            raise NoCapacityError(answer["no_capacity"])
        return JobProvisioningData(
            backend=BackendType.AWS,
            instance_type=instance,
            hostname=answer.get("address"),
            internal_ip=answer.get("address"),
            ssh_port=answer.get("ssh_port"),
            instance_id=answer["instance_id"],
            region=instance_offer.region,
            availability_zone=answer["zone"],
            reservation=instance_config.reservation,
            price=instance_offer.price,
            username="ubuntu",
            dockerized=True,
        )

    def update_provisioning_data(
        self,
        provisioning_data: JobProvisioningData,
        project_ssh_public_key: str,
        project_ssh_private_key: str,
    ) -> None:
        """Fills in the address once the instance has started."""
        answer = self._ask("describe", {"instance_id": provisioning_data.instance_id})
        if answer["state"] == "gone":
            raise ProvisioningError("The instance was terminated while it started")
        if answer["state"] == "running":
            provisioning_data.hostname = answer["address"]
            provisioning_data.internal_ip = answer["address"]
            provisioning_data.ssh_port = answer["ssh_port"]

    def terminate_instance(
        self, instance_id: str, region: str, backend_data: str | None = None
    ) -> None:
        """Ends an instance; one that is gone already is no error."""
        self._ask("terminate", {"instance_id": instance_id})

    def create_placement_group(
        self, placement_group: PlacementGroup, master_instance_offer: InstanceOffer
    ) -> PlacementGroupProvisioningData:
        """Every two instances of a region are near each other here."""
        return PlacementGroupProvisioningData(backend=BackendType.AWS)

    def delete_placement_group(self, placement_group: PlacementGroup) -> None:
        """A placement group is nothing but its name here."""

    def is_suitable_placement_group(
        self, placement_group: PlacementGroup, instance_offer: InstanceOffer
    ) -> bool:
        """Whether a placement group is in the region of an offer."""
        return placement_group.configuration.region.lower() == instance_offer.region.lower()

    def create_gateway_replica(
        self,
        configuration: GatewayReplicaConfiguration,
        gateway_backend_data: str | None = None,
    ) -> GatewayReplicaProvisioningData:
        """Starts an emulated gateway."""
        answer = self._ask(
            "create_gateway",
            {"authorized_keys": [configuration.ssh_key_pub.strip()]},
        )
        return GatewayReplicaProvisioningData(
            instance_id=answer["instance_id"],
            ip_address=answer["address"],
            region=configuration.region,
        )

    def terminate_gateway_replica(
        self,
        instance_id: str,
        configuration: GatewayReplicaConfiguration,
        backend_data: str | None = None,
    ) -> None:
        """Ends an emulated gateway."""
        self._ask("terminate", {"instance_id": instance_id})

    def _ask(self, what: str, body: dict[str, Any]) -> Any:
        try:
            answer = requests.post(
                f"{self._url}/cloud/{what}", json=body, headers=self._headers, timeout=_TIMEOUT
            )
            answer.raise_for_status()
        except requests.RequestException as error:
            raise ComputeError(f"The emulated cloud did not answer {what}: {error}") from error
        return answer.json()


class EmulatedBackend(Backend):
    """The backend that the server finds for the type `aws`."""

    TYPE = BackendType.AWS
    COMPUTE_CLASS = EmulatedCompute

    def __init__(self, project: str) -> None:
        self._compute = EmulatedCompute(project)

    def compute(self) -> EmulatedCompute:
        """The one compute of this backend."""
        return self._compute


class EmulatedConfigurator(Configurator[AWSBackendConfig, AWSBackendConfigWithCreds]):
    """Takes any credentials and makes the emulated backend."""

    TYPE = BackendType.AWS
    BACKEND_CLASS = EmulatedBackend

    def validate_config(
        self, config: AWSBackendConfigWithCreds, default_creds_enabled: bool
    ) -> None:
        """There is nothing to be wrong: no account is looked at."""

    def create_backend(self, project_name: str, config: AWSBackendConfigWithCreds) -> BackendRecord:
        """Stores the configuration as the stock backend would."""
        given = validate_extra_ignore(AWSBackendConfig, config).model_dump()
        # The project is asked for with each request, and dstack gives it here only.
        stored = AWSStoredConfig(**{**given, "tags": {_PROJECT_TAG: project_name}})
        return BackendRecord(
            config=stored.model_dump_json(),
            auth=AWSCreds.model_validate(config.creds).model_dump_json(),
        )

    def get_backend_config_with_creds(
        self, record: StoredBackendRecord
    ) -> AWSBackendConfigWithCreds:
        """The configuration as it was given."""
        return validate_extra_ignore(AWSBackendConfigWithCreds, _config(record))

    def get_backend_config_without_creds(self, record: StoredBackendRecord) -> AWSBackendConfig:
        """The configuration without credentials."""
        return validate_extra_ignore(AWSBackendConfig, _config(record))

    def get_backend(self, record: StoredBackendRecord) -> EmulatedBackend:
        """A backend that asks the world's process."""
        return EmulatedBackend((_config(record).tags or {})[_PROJECT_TAG])


def _config(record: StoredBackendRecord) -> AWSConfig:
    creds = validate_json_extra_ignore(AWSCreds, record.auth).root
    return validate_extra_ignore(AWSConfig, {**json.loads(record.config), "creds": creds})


def _offer(item: dict[str, Any]) -> InstanceOfferWithAvailability:
    gpu = item["gpu"]
    gpus = []
    if gpu is not None:
        one = Gpu(name=gpu["name"], memory_mib=gpu["memory_gib"] * 1024, vendor=gpu["vendor"])
        gpus = [one] * gpu["count"]
    return InstanceOfferWithAvailability(
        backend=BackendType.AWS,
        instance=InstanceType(
            name=item["instance_type"],
            resources=Resources(
                cpus=item["cpus"],
                memory_mib=item["memory_gib"] * 1024,
                gpus=gpus,
                spot=item["spot"],
                disk=Disk(size_mib=item["disk_gib"] * 1024),
            ),
        ),
        region=item["region"],
        price=item["price"],
        availability=InstanceAvailability.AVAILABLE,
        availability_zones=item["zones"],
    )
