"""What the long tests share with the others: a platform on the servers."""

from recruitment_platform_tests.on_servers.conftest import servers  # noqa: F401
