"""Calls the financial service with a stock SOAP client that knows nothing but its WSDL.

Usage: zeep_client.py URL. Exits 0 when all is as described, and says what is not otherwise.
"""

import sys
import uuid

from zeep import Client
from zeep.exceptions import Fault

CARD = {
    "card_name": "Ada <Lovelace> & Söhne",
    "card_number": "4111111111111111",
    "expiry": "07/2031",
    "security_code": "123",
}


def main() -> None:
    client = Client(sys.argv[1] + "/?wsdl")

    # Some payments are declined by chance, and the service remembers those of earlier runs: new ones, until one is approved.
    for _ in range(100):
        payment = {"transaction_id": str(uuid.uuid4()), "amount_cents": 1234, **CARD}
        first = client.service.AuthorizePayment(**payment)
        assert first.approved is bool(first.authorization_id), first
        again = client.service.AuthorizePayment(**payment)
        assert again == first, (first, again)
        if first.approved:
            break
    assert first.approved is True, first
    assert client.service.VoidPayment(transaction_id=payment["transaction_id"]) is True

    for wrong in ({"amount_cents": 1}, {"transaction_id": str(uuid.uuid4()), "amount_cents": 0}):
        try:
            client.service.AuthorizePayment(**{**payment, **wrong})
        except Fault as fault:
            assert fault.code == "soap:Client", fault.code
        else:
            raise AssertionError(f"no fault for {wrong}")


main()
