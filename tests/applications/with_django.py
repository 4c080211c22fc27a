"""A Django project behind the gate, in one file."""

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["ingress.local.test"], ROOT_URLCONF=__name__, USE_TZ=True)


def who(request: HttpRequest) -> HttpResponse:
    """Answer with the client's name; Django keeps the ASGI scope with its request."""
    scope = request.scope
    return JsonResponse({"name": scope["user"].display_name, "address": request.META["REMOTE_ADDR"]})


async def send(request: HttpRequest) -> HttpResponse:
    """Take a document from whoever has the role."""
    scope = request.scope
    if "role:send" not in scope["auth"].scopes:
        return HttpResponseForbidden()
    return JsonResponse({"length": len(request.body)}, status=201)


urlpatterns = [path("", who), path("send", send)]
app = get_asgi_application()
